"""What trained networks say of the order of their graphs, ours and the authors'.

The figures are Kendall's tau between means, how well the seeds of each side agree, how
much better the graphs of the sweet spot are than the others, and the tau of accuracies
and path lengths. Each has an interval of 95 % by bootstrap over graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from keras_invprune_lab.structure.prediction.evaluation import kendall
from keras_invprune_lab.structure.relational.known import Known

REPLICATES = 1000

Figure = Callable[[np.ndarray], float]
"""``figure(numbers of graphs)``."""


def with_interval(figure: Figure, graphs: int) -> tuple[float, float, float]:
    """Return ``figure(numbers of graphs)`` of all, and its interval by bootstrap."""
    random = np.random.default_rng(0)
    drawn = [figure(random.integers(graphs, size=graphs)) for _ in range(REPLICATES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return figure(np.arange(graphs)), low, high


def agreement(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Return Kendall's tau of graphs, averaged over pairs of [graphs] accuracies."""
    return lambda numbers: np.mean([kendall(a[numbers], b[numbers]) for a, b in pairs])


def lead(accuracies: np.ndarray, sweet: np.ndarray) -> Figure:
    """Return by how many points some graphs are better than the others, on average."""

    def figure(numbers):
        inside = sweet[numbers]
        if inside.all() or not inside.any():
            return np.nan
        means = accuracies[numbers]
        return means[inside].mean() - means[~inside].mean()

    return figure


def authors_figures(graphs: list[Known]) -> list[dict]:
    """Return rows of what the authors' own networks say of the order of the graphs.

    Args:
        graphs: [graphs].
    """
    theirs, sweet = of_authors(graphs)
    seeds = range(theirs.shape[1])
    halves = [
        (theirs[:, two].mean(axis=1), np.delete(theirs, two, axis=1).mean(axis=1))
        for two in map(list, combinations(seeds, 2))
    ]
    wanted = {
        "tau, two of the authors' seeds and the others": agreement(halves),
        "lead of the sweet spot, the authors'": lead(theirs.mean(axis=1), sweet),
        "tau, the authors' means and path lengths": agreement(
            [(theirs.mean(axis=1), paths(graphs))]
        ),
    }
    return figure_rows(wanted, *theirs.shape)


def our_figures(graphs: list[Known], accuracies: np.ndarray) -> list[dict]:
    """Return rows of what our networks say of the order of the graphs.

    Args:
        graphs: [graphs].
        accuracies: Ours, [graphs, seeds], in percent.
    """
    theirs, sweet = of_authors(graphs)
    ours = accuracies.mean(axis=1)
    wanted = {
        "tau, our means and the authors'": agreement([(ours, theirs.mean(axis=1))]),
        "lead of the sweet spot, ours": lead(ours, sweet),
        "tau, our means and path lengths": agreement([(ours, paths(graphs))]),
    }
    if accuracies.shape[1] > 1:
        pairs = list(combinations(accuracies.T, 2))
        wanted["tau, two of our seeds"] = agreement(pairs)
    return figure_rows(wanted, *accuracies.shape)


def of_authors(graphs: list[Known]) -> tuple[np.ndarray, np.ndarray]:
    """Return the authors' accuracies, [graphs, seeds], and which graphs are sweet."""
    theirs = np.array([graph.accuracies for graph in graphs])
    return theirs, np.array([graph.sweet for graph in graphs])


def paths(graphs: list[Known]) -> np.ndarray:
    """Return the path lengths, [graphs]."""
    return np.array([graph.path for graph in graphs])


def figure_rows(wanted: dict[str, Figure], graphs: int, seeds: int) -> list[dict]:
    """Return a row for each ``{name: figure}`` that is known, with its interval.

    There is no lead of the sweet spot if all graphs are on one side of its border.
    """
    found = []
    for name, figure in wanted.items():
        if np.isnan(figure(np.arange(graphs))):
            continue
        value, low, high = with_interval(figure, graphs)
        about = {"figure": name, "graphs": graphs, "seeds": seeds}
        found.append(about | {"value": value, "low": low, "high": high})
    return found
