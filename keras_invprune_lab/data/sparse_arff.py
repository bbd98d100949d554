"""Sparse ARFF files, which the OpenML client 0.15.1 cannot read with pandas 3."""

import numpy as np


def read_sparse_arff(file):
    """Return a table from a sparse ARFF file.

    What a row leaves out is 0, or the first value of a nominal attribute.

    Args:
        file: Path of the file.

    Returns:
        A dense pandas.DataFrame, nominal attributes as categories.

    Raises:
        ValueError: If it has an attribute of text, which a row cannot leave out.
        arff.ArffException: If it is not an ARFF file; says in which line.
    """
    import arff
    import pandas as pd

    with open(file, encoding="utf-8") as stream:
        content = arff.load(stream, encode_nominal=True, return_type=arff.LOD)
    attributes, rows = content["attributes"], content["data"]
    texts = [name for name, kind in attributes if kind == "STRING"]
    if texts:
        raise ValueError(f"Sparse ARFF must not have text columns. Received: {texts}")
    values = np.zeros((len(rows), len(attributes)))
    for index, row in enumerate(rows):
        for column, value in row.items():
            values[index, column] = np.nan if value is None else value
    columns = {
        name: _categories(array, kind) if isinstance(kind, list) else array
        for (name, kind), array in zip(attributes, values.T, strict=True)
    }
    return pd.DataFrame(columns)


def _categories(numbers, names):
    import pandas as pd

    codes = np.where(np.isnan(numbers), -1, numbers).astype(int)
    return pd.Categorical.from_codes(codes, names)
