"""The graphs of graph2nn's table, with what it knows of each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from keras_invprune.priors.features import clustering, path_length
from keras_invprune_lab.structure.prediction.graph2nn import ERROR
from keras_invprune_lab.structure.prediction.reading import read
from keras_invprune_lab.structure.relational.graphs import (
    COMPLETE,
    drawn_again,
    far_apart,
)

RESULTS, NAMES = (f"{kind}_mlp_cifar10_epoch200.npy" for kind in ("results", "names"))
"""Files of the table; clustering and path length are in ``graphs_n64_3942.npy``."""
CLUSTERING, PATH = (0.09, 0.72), (1.63, 3.04)
"""The sweet spot of You et al. 2020."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What the table knows of a graph.

    Attributes:
        name: Its name, see `drawn_again`.
        clustering: C.
        path: L.
        accuracies: Of its authors' networks, in percent.
    """

    name: str
    clustering: float
    path: float
    accuracies: tuple[float, ...]

    @property
    def sweet(self) -> bool:
        """Whether it is in their sweet spot."""
        inside = CLUSTERING[0] <= self.clustering <= CLUSTERING[1]
        return inside and PATH[0] <= self.path <= PATH[1]


def known(folder: Path) -> list[Known]:
    """Return the graphs of the table, the complete one first.

    Args:
        folder: Of the table's three files.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If they do not fit together.
    """
    table = read(folder / RESULTS)
    rows = table.frame.groupby("graph", sort=False)
    names, results = (np.load(folder / file) for file in (NAMES, RESULTS))
    (complete,) = results[names[:, 0] == "linear"]
    others = [
        Known(
            name,
            float(each["clustering"].iloc[0]),
            float(each["average_shortest_path_length"].iloc[0]),
            tuple(100 * each["test_accuracy"]),
        )
        for name, each in rows
    ]
    return [Known(COMPLETE, 1.0, 1.0, tuple(100 - complete[:, ERROR])), *others]


def chosen(graphs: list[Known], count: int) -> list[Known]:
    """Return so many graphs that are far apart in (C, L), the first one first.

    Raises:
        ValueError: If there are not so many.
    """
    points = np.array([(graph.clustering, graph.path) for graph in graphs])
    return [graphs[number] for number in far_apart(points, count, first=0)]


def check(graph: Known) -> None:
    """Raise ValueError if the graph drawn again is not that of the table."""
    again = drawn_again(graph.name)
    found = clustering(again), path_length(again)
    listed = graph.clustering, graph.path
    if not np.allclose(found, listed, rtol=0, atol=1e-6):
        raise ValueError(
            f"{graph.name} should have clustering and path length {listed}, as in the "
            f"table, and was drawn again with {found}. The files may be of another "
            "version."
        )
