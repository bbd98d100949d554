"""Tables as CSV: our own, and that of the paper's authors."""

from pathlib import Path

import pandas as pd

from keras_invprune_lab.structure.columns import (
    ACCURACY,
    CELL,
    DISTRIBUTIONS,
    FEATURES,
    GRAPH,
    PARAMETERS,
    PRIOR,
    SEED,
    SPREADS,
)
from keras_invprune_lab.structure.prediction.table import Table, complete

# What the authors call the distributions that we name like networkx.
_SHORT = (
    "eccentricity",
    "degree",
    "closeness",
    "nodes_betweenness",
    "edge_betweenness",
)
AUTHORS = {
    f"{theirs}_{kind}": f"{ours}_{kind}"
    for theirs, ours in zip(_SHORT, DISTRIBUTIONS, strict=True)
    for kind in SPREADS
} | {"mode": CELL, "graph": PRIOR, "test_acc": ACCURACY}


def read_csv(file: Path) -> Table:
    """Return the table in a CSV file.

    Args:
        file: Written by ``keras-invprune structure train`` (`structure.columns`), or
            one of the authors' ``rnn/experiments/results/structure/*.csv``. Their
            columns are renamed to ours, so that a predictor of one reads the other.

    Raises:
        ValueError: If the file is neither, or if a training is in it twice.
    """
    try:
        frame = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError) as error:
        raise ValueError(f"{file} is not CSV: {error}.") from error
    kind = "our own"
    if {"mode", "graph_nr", "test_acc"} <= {*frame}:
        frame, kind = _of_authors(frame), "the authors' csv"
    absent = [name for name in (GRAPH, CELL, *FEATURES) if name not in frame]
    if absent:
        raise ValueError(
            "A CSV file of trained graphs has the columns of `structure train` or "
            f"those of the paper's authors. {file} lacks {', '.join(absent[:5])}"
            f"{' and others' if len(absent) > 5 else ''}."
        )
    unnamed = frame[[GRAPH, CELL]].isna().any(axis=1)
    if unnamed.any():
        raise ValueError(
            f"Each row names its graph and its cell. Received: {int(unnamed.sum())} "
            f"rows of {file} that do not, the first in line {unnamed.argmax() + 2}."
        )
    frame = complete(frame).astype({CELL: str})  # also those that are numbers
    twice = frame.duplicated([GRAPH, CELL, SEED])
    if twice.any():
        one = frame[twice].iloc[0]
        raise ValueError(
            f"A row is one training, and {int(twice.sum())} are in {file} twice, such "
            f"as graph {one[GRAPH]!r}, cell {one[CELL]!r}, seed {one[SEED]}. Remove "
            "one of them."
        )
    return _with_target(frame, kind, file)


def _of_authors(frame):
    graphs = frame["graph"].astype(str) + "_" + frame["graph_nr"].astype(str)
    renamed = frame.drop(columns="graph_nr").rename(columns=AUTHORS)
    cells = renamed[CELL].str.lower().str.removeprefix("rnn_")
    return renamed.assign(**{GRAPH: graphs, CELL: cells})


def _with_target(frame, kind, file):
    table = Table(frame, FEATURES, ACCURACY, kind)
    if not table.targets:
        raise ValueError(
            f"{file} has no figure to predict, such as {ACCURACY!r}: it has no column "
            "of numbers besides keys, features and cheap scores."
        )
    # The number of weights comes last: the structure decides it.
    first = min(table.targets, key=lambda name: (name != ACCURACY, name == PARAMETERS))
    return Table(frame, FEATURES, first, kind)
