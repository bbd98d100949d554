"""A table of trained graphs, whatever file it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keras_invprune.saving import did_you_mean, near_names
from keras_invprune_lab.structure.columns import (
    CELL,
    GRAPH,
    GROUP,
    KEYS,
    PRIOR,
    PROXY,
    SEED,
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Trainings of graphs, one a row.

    Attributes:
        frame: The rows, with the columns `KEYS`, the features and the targets.
        features: Names of the columns that describe a graph.
        target: Name of the figure to predict if nobody says which.
        kind: What the file was recognized as.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    target: str
    kind: str

    @property
    def proxies(self) -> tuple[str, ...]:
        """The columns of cheap scores."""
        return tuple(name for name in self.frame if name.startswith(PROXY))

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that can be predicted: figures of the training."""
        described = {*KEYS, *self.features, *self.proxies}
        numbers = self.frame.select_dtypes("number").columns
        return tuple(name for name in numbers if name not in described)

    @property
    def cells(self) -> tuple[str, ...]:
        """The kinds of cells, in the order of the rows."""
        return tuple(dict.fromkeys(self.frame[CELL]))

    def rows(self, cell: str, target: str) -> Rows:
        """Return what is known of each graph with one kind of cell.

        Args:
            cell: One of `cells`.
            target: One of `targets`.

        Raises:
            ValueError: If there is no such cell or target, if a value is missing or
                infinite, or if one name stands for two graphs.
        """
        _check_choice("cell", cell, self.cells)
        _check_choice("target", target, self.targets)
        part = self.frame[self.frame[CELL] == cell]
        columns = [*self.features, *self.proxies]
        _check_finite(part, [*columns, target])
        by_graph = part.groupby(GRAPH, sort=False)
        _check_same(by_graph, self.features)
        x = by_graph[columns].mean()
        groups = _groups(x[list(self.features)], by_graph[GROUP].first())
        runs = [values.to_numpy(float) for _, values in by_graph[target]]
        return Rows(x, runs, groups, self.features, self.proxies, target, cell)


@dataclasses.dataclass(frozen=True)
class Rows:
    """The graphs of one kind of cell, one a row: the mean over its trainings.

    Attributes:
        x: Features and cheap scores, a row for each graph, with its name as the index.
        runs: For each graph, the figure of each of its trainings.
        groups: For each graph, a number; graphs of one number stay on one side of a
            split. Graphs share it if their features are equal, or if the table says so.
        features: Columns of `x` that describe the structure.
        proxies: Columns of `x` with cheap scores.
        target: Name of the figure.
        cell: The kind of cell.
    """

    x: pd.DataFrame
    runs: list[np.ndarray]
    groups: np.ndarray
    features: tuple[str, ...]
    proxies: tuple[str, ...]
    target: str
    cell: str

    @property
    def y(self) -> np.ndarray:
        """The mean figure of each graph, [graphs]."""
        return np.array([values.mean() for values in self.runs])

    def only(self, features: Sequence[str]) -> Rows:
        """Return the same graphs, described by some of the features and no scores.

        The groups stay: graphs that all features tell apart remain apart.

        Raises:
            ValueError: If there is no such feature, or if none is named.
        """
        if not features:
            raise ValueError(f"Name a feature: {', '.join(self.features)}.")
        for name in features:
            _check_choice("feature", name, self.features)
        x = self.x[list(features)]
        return dataclasses.replace(self, x=x, features=tuple(features), proxies=())

    def averaged(self) -> Rows:
        """Return a row for each group: the means over its graphs.

        There is one figure for each row, since different graphs say nothing of what
        another seed would do: such rows have no noise ceiling.
        """
        y, numbers = self.y, np.unique(self.groups)
        members = [np.flatnonzero(self.groups == number) for number in numbers]
        x = pd.DataFrame(
            [self.x.iloc[rows].mean() for rows in members],
            [self.x.index[rows[0]] for rows in members],
        )
        runs = [np.array([y[rows].mean()]) for rows in members]
        return dataclasses.replace(self, x=x, runs=runs, groups=numbers)


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with all `KEYS`: unnamed graphs are numbered, seeds counted."""
    defaults = {
        GRAPH: [f"graph {number}" for number in range(len(frame))],
        PRIOR: "",
        CELL: "",
        SEED: 0,
        GROUP: "",
    }
    absent = {name: value for name, value in defaults.items() if name not in frame}
    return frame.assign(**absent)


def _groups(features, families) -> np.ndarray:
    """Return numbers that graphs of equal features or equal family share."""
    size = len(features)
    _, same = np.unique(features.round(9).to_numpy(), axis=0, return_inverse=True)
    known = families.notna() & (families != "")
    named = families.where(known, features.index.to_series())
    _, family = np.unique(named.astype(str), return_inverse=True)
    places = np.arange(size)
    # A graph is joined to the node of its features and to that of its family.
    ends = np.concatenate([size + same.ravel(), 2 * size + family])
    edges = (np.ones(2 * size), (np.tile(places, 2), ends))
    _, numbers = connected_components(coo_array(edges, shape=(3 * size, 3 * size)))
    return np.unique(numbers[:size], return_inverse=True)[1]


def _check_choice(kind, name, known):
    if name not in known:
        raise ValueError(
            f"The table has no {kind} {name!r}, but {', '.join(known)}."
            f"{did_you_mean(near_names(name, known))}"
        )


def _check_finite(part, columns):
    values = part[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{int(bad.sum())} values of the table are missing, infinite or not "
            f"numbers, the first in column {columns[column]!r} of graph "
            f"{part.iloc[row][GRAPH]!r}. Fill them in, or leave the rows out."
        )


def _check_same(by_graph, features):
    names = list(features)
    spread = (by_graph[names].max() - by_graph[names].min()).gt(1e-9).any(axis=1)
    if spread.any():
        raise ValueError(
            "A graph has one structure, whatever its seed. Received: different "
            f"features in rows of {spread.idxmax()!r}. Give each graph its own name."
        )
