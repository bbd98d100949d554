"""The table of random graphs by Nowak and Janik 2020, a pickle that is not trusted."""

import pickle
from pathlib import Path

import pandas as pd

from keras_invprune_lab.structure.columns import ACCURACY, CELL, GRAPH, GROUP, PRIOR
from keras_invprune_lab.structure.prediction.table import Table, complete

ALLOWED = {
    ("builtins", "slice"),
    ("pandas", "DataFrame"),
    ("pandas", "Index"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""All that a pickled frame of numbers is made of. Each only holds data."""
PARTS = ("train", "test")


class _Frames(pickle.Unpickler):
    """Reads frames of numbers, and runs nothing else."""

    def find_class(self, module, name):
        """Return a class of `ALLOWED`.

        Raises:
            pickle.UnpicklingError: If it is not among them.
        """
        if (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_random_graph_nn(file: Path) -> Table:
    """Return the table in ``reports/data30.pkl`` or ``data60.pkl``.

    A pickle can run any code. This one is read by a reader that only makes frames of
    pandas and arrays of NumPy, and refuses the file if it asks for anything else.

    Args:
        file: The pickle, ``{"X_train": frame, "y_train": frame, ...}``.

    Returns:
        A row for each graph, with accuracy as a share in [0, 1]. The five versions of a
        graph, which are different graphs of the same generator, are one group: they
        stay on one side of a split.

    Raises:
        ValueError: If the file asks for other classes, or does not hold such frames.

    Source:
        Nowak and Janik 2020, Discovering wiring patterns influencing neural network
        performance (2002.08104); repository rmldj/random-graph-nn-paper.
    """
    try:
        with open(file, "rb") as stream:
            found = _Frames(stream).load()
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(
            f"{file} is not read: a pickle can run code, so only frames of pandas and "
            f"arrays of NumPy are taken from it, and {error}. If you trust it, save "
            "the table as CSV with the columns of `structure train`."
        ) from error
    names = {f"{part}_{side}" for part in ("X", "y") for side in PARTS}
    if not (isinstance(found, dict) and names <= found.keys()):
        raise ValueError(
            f"{file} should hold the frames {', '.join(sorted(names))}, as in "
            "rmldj/random-graph-nn-paper, reports/data30.pkl."
        )
    x = pd.concat([found[f"X_{side}"] for side in PARTS]).astype(float)
    y = pd.concat([found[f"y_{side}"] for side in PARTS])["test_acc"].astype(float)
    graphs = x.index.astype(str)
    families = graphs.str.replace(r"_v\d+$", "", regex=True)
    keys = {GRAPH: graphs, GROUP: families, CELL: "resnet"}
    keys |= {PRIOR: families.str.replace(r"(_\d+)+$", "", regex=True)}
    frame = x.assign(**{ACCURACY: y / 100, **keys}).reset_index(drop=True)
    return Table(complete(frame), tuple(x.columns), ACCURACY, "random-graph-nn")
