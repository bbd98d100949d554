"""The plot of `structure relational`: accuracy by graph, ours and the authors'."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_invprune_lab.structure.relational.known import CLUSTERING, PATH

OURS, OTHER = "tab:blue", "tab:gray"
ACCURACY = "test accuracy, %"


def draw(figure: Figure, rows: Iterable[dict]) -> None:
    """Draw accuracy by clustering and path length, and ours against the authors'.

    Args:
        figure: An empty one.
        rows: Of the table, with the same number of images and epochs.
    """
    seeds: dict[tuple[float, ...], list[float]] = {}
    for row in rows:
        names = "clustering", "path_length", "authors_accuracy"
        graph = tuple(float(row[name]) for name in names)
        seeds.setdefault(graph, []).append(float(row["test_accuracy"]))
    graphs = np.array(list(seeds))
    means = np.array([np.mean(values) for values in seeds.values()])
    low, high = np.transpose([CLUSTERING, PATH])
    left, right = figure.subplots(1, 2)
    left.add_patch(Rectangle(low, *(high - low), fill=False, ls="--", color=OTHER))
    drawn = left.scatter(graphs[:, 0], graphs[:, 1], c=means, cmap="viridis")
    figure.colorbar(drawn, ax=left, label=ACCURACY)
    left.set(xlabel="clustering C", ylabel="path length L")
    sweet = np.all((graphs[:, :2] >= low) & (graphs[:, :2] <= high), axis=1)
    for chosen, color, label in (
        (sweet, OURS, "in the sweet spot"),
        (~sweet, OTHER, "outside"),
    ):
        right.plot(graphs[chosen, 2], means[chosen], "o", color=color, label=label)
    right.set(xlabel="the authors', 200 epochs, %", ylabel=ACCURACY)
    right.legend(fontsize="small")
