"""From a table with holes, strings and constants to standardized rows.

All that is learned from data (medians, means, categories, which columns are constant)
is learned from the training part.
"""

import numpy as np

from keras_invprune.saving import named
from keras_invprune_lab.data.base import Data, check_validation, hold_out
from keras_invprune_lab.data.columns import LARGEST, read

TEST_SHARE = 0.2
MIN_ROWS = 6
MAX_CATEGORIES = 64


def prepare(frame, labels, seed=0, validation=0.0, encoding="one_hot") -> Data:
    """Split a table (stratified, 20 % test) and make numbers of it.

    What a column says, numbers (dates among them) or categories, is found out as in
    `keras_invprune_lab.data.columns`. What is constant in training is dropped.
    Then, by `encoding`:

    - "one_hot": in numbers the median for what is missing, then mean 0 and variance
      1. Categories: one column each, a missing value is one of its own; all but the
      63 most frequent of a column share one, and so do those never seen in training.
    - "codes", as in the authors' code of 2309.08171: in numbers 0 for what is
      missing, then mean 0 and variance 1. Categories are numbered from 1, unscaled;
      missing and unseen ones are 0.

    Args:
        frame: pandas.DataFrame of the features, [n, columns].
        labels: pandas.Series of the classes, of any type, [n].
        seed: Of the split.
        validation: Share of the training part to hold out as `Data.x_valid`, in
            [0, 1); nothing is learned from it.
        encoding: "one_hot" or "codes".

    Returns:
        `Data`, float32; classes are numbered in their sorted order, numbers by
        value.

    Raises:
        ValueError: If there are too few rows or members of a class to split, a target
            is not a class or is missing, a number is infinite or beyond 1e30, or no
            column varies.
    """
    from sklearn.model_selection import train_test_split

    if len(frame) != len(labels):
        raise ValueError(
            f"Each row needs one label. Received: {len(frame)} rows, {len(labels)} "
            "labels."
        )
    if len(labels) < MIN_ROWS:
        raise ValueError(
            f"{len(labels)} rows are too few: with a fifth for testing, two classes "
            f"need at least {MIN_ROWS}."
        )
    transformer = named(encoding, ENCODINGS, "encoding")
    validation = check_validation(validation)
    names, y = _classes(labels)
    train, test = train_test_split(
        np.arange(len(y)), test_size=TEST_SHARE, random_state=seed, stratify=y
    )
    parts = [train, test]
    if validation:
        kept, held = hold_out(y[train], validation, seed)
        parts = [train[kept], test, train[held]]
    frame, sources = read(frame, parts[0])
    _check_finite(frame, sources)
    columns = _columns(frame.iloc[parts[0]], sources, transformer)
    columns.fit(frame.iloc[parts[0]])
    x = [columns.transform(frame.iloc[part]).astype("float32") for part in parts]
    x, y = [*x, None], [*(y[part] for part in parts), None]
    return Data(x[0], y[0], x[1], y[1], names, x[2], y[2])


def _classes(labels):
    """Return names and numbers of the classes; raise if they cannot be split."""
    if labels.dtype == "category":
        labels = labels.astype(labels.cat.categories.dtype)
    if labels.dtype.kind not in "iufbmM":
        labels = labels.map(
            lambda value: value.strip() if isinstance(value, str) else value
        )
        labels = labels.mask(labels.isin(["", "?"]))
    missing = int(labels.isna().sum())
    if missing:
        raise ValueError(
            f"The target is missing in {missing} of {len(labels)} rows. Drop them."
        )
    kind = labels.dtype.kind
    whole = kind in "iu" or (kind == "f" and _are_whole(labels))
    values = labels.astype("int64") if whole else labels.astype(object).astype(str)
    names, y, counts = np.unique(
        np.asarray(values), return_inverse=True, return_counts=True
    )
    names = [str(name) for name in names]
    if kind not in "iufbcmM" and not values.isin(["True", "False"]).all():
        kind, whole = _as_numbers(values, kind)
    if kind in "fcmM" and not whole or whole and len(names) > len(y) / 2:
        raise ValueError(
            f"The target {labels.name!r} is not a class: {len(names)} different "
            f"{'dates' if kind in 'mM' else 'numbers'} in {len(y)} rows. This is for "
            "classification."
        )
    _check_split(names, counts, number=whole)
    return tuple(names), y.astype("int64")


def _are_whole(numbers) -> bool:
    return bool((numbers % 1 == 0).all() and (numbers.abs() < 2**63).all())


def _as_numbers(texts, kind) -> tuple[str, bool]:
    """Return the kind of the numbers that all texts are, and whether they are whole."""
    import pandas as pd

    numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
    if numbers.isna().any():
        return kind, False
    return "f", _are_whole(numbers)


def _check_split(names, counts, number):
    rows, single = (
        counts.sum(),
        [n for n, c in zip(names, counts, strict=True) if c < 2],
    )
    hint = " If it is a quantity: this is for classification." if number else ""
    if len(names) < 2:
        raise ValueError(
            f"The target has 1 class; two are needed. Received: {names[0]!r} only."
        )
    if single:
        raise ValueError(
            f"Classes with one member cannot be in both parts: {single[:9]}. "
            f"Drop them or join them with others.{hint}"
        )
    tests = int(np.ceil(rows * TEST_SHARE))
    if min(tests, rows - tests) < len(names):
        raise ValueError(
            f"{rows} rows are too few: with a fifth for testing, each part must "
            f"hold all {len(names)} classes. Join classes or add rows.{hint}"
        )


def _check_finite(frame, sources):
    for column, name in zip(frame, sources, strict=True):
        if _is_number(frame[column]) and (frame[column].abs() > LARGEST).any():
            raise ValueError(
                f"The column {name!r} has infinite values, or some beyond "
                f"{LARGEST:.0e}. Replace them, for instance with NaN."
            )


def _columns(train, sources, transformers):
    """Return a ColumnTransformer for the columns that vary in `train`."""
    from sklearn.compose import ColumnTransformer

    varying = [c for c in train.columns if train[c].nunique(dropna=False) > 1]
    # One number or missing: once filled, the number tells nothing, but its being there
    # does, unless another column of the same source says so.
    numbers = [c for c in varying if _is_number(train[c]) and train[c].nunique() > 1]
    alone = {c for c in varying if sources.count(sources[c]) == 1}
    others = [c for c in varying if c not in numbers]
    categories = [c for c in others if c in alone or not _is_number(train[c])]
    if not numbers and not categories:
        raise ValueError("No column of the table varies in the training part.")
    of_numbers, of_categories = transformers()
    return ColumnTransformer(
        [
            ("numbers", of_numbers, numbers),
            ("categories", of_categories, categories),
        ]
    )


def _one_hot():
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        OneHotEncoder,
        StandardScaler,
    )

    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    )
    return (
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
        make_pipeline(FunctionTransformer(_with_missing), encoder),
    )


def _codes():
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        OrdinalEncoder,
        StandardScaler,
    )

    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    zero = SimpleImputer(strategy="constant", fill_value=0)
    return (
        make_pipeline(zero, StandardScaler()),
        make_pipeline(
            FunctionTransformer(_with_nan),
            encoder,
            FunctionTransformer(_from_one),
        ),
    )


ENCODINGS = {"one_hot": _one_hot, "codes": _codes}


def _is_number(column) -> bool:
    return column.dtype.kind == "f"


def _with_missing(frame):
    """Make a missing value a category of its own."""
    return frame.astype(object).map(str).where(frame.notna(), "(missing)")


def _with_nan(frame):
    """Replace what is missing by NaN, as the encoder expects."""
    return frame.where(frame.notna(), np.nan)


def _from_one(codes):
    """Count codes from 1; 0 stays for what was not seen."""
    return codes + 1
