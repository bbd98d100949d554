"""The plots of searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_invprune_lab.structure.search.pareto import ranks

Row = Mapping[str, Any]
COLORS = ("tab:gray", "tab:blue", "tab:green", "tab:red", "tab:purple", "tab:orange")


def curves(rows: Sequence[Row]) -> Figure:
    """Draw the best accuracy so far of each strategy, its mean and range over seeds.

    Args:
        rows: Those of ``graphs.csv``.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for color, (strategy, own) in zip(
        cycle(COLORS), _by(rows, "strategy"), strict=False
    ):
        runs = [[row["best"] for row in run] for _, run in _by(own, "seed")]
        length = min(map(len, runs))  # a search may have ended earlier
        best = 100 * np.array([run[:length] for run in runs], float)
        numbers = np.arange(1, length + 1)
        axes.plot(numbers, best.mean(axis=0), color=color, label=strategy)
        if len(runs) > 1:
            ends = best.min(axis=0), best.max(axis=0)
            axes.fill_between(numbers, *ends, color=color, alpha=0.1, linewidth=0)
    axes.set(xlabel="graphs trained", ylabel="best validation accuracy so far, %")
    axes.legend(fontsize="small")
    return figure


def against_macs(rows: Sequence[Row]) -> Figure:
    """Draw accuracy against MACs of all graphs, and the front of each strategy.

    Args:
        rows: Those of ``graphs.csv``.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points = _points(rows)
    axes.scatter(points[:, 1], points[:, 0], s=5, color="lightgray", linewidths=0)
    for color, (strategy, own) in zip(
        cycle(COLORS), _by(rows, "strategy"), strict=False
    ):
        points = _points(own)
        best = points[ranks(points * [1, -1]) == 0]
        best = best[np.argsort(best[:, 1])]
        options = {"where": "post", "color": color, "marker": ".", "label": strategy}
        axes.step(best[:, 1], best[:, 0], **options)
    axes.set(xlabel="MACs of one image, thousands", ylabel="validation accuracy, %")
    axes.legend(fontsize="small")
    return figure


def _points(rows) -> np.ndarray:
    """Return (accuracy in %, thousands of MACs) of each graph."""
    found = [(100 * float(row["accuracy"]), int(row["macs"]) / 1000) for row in rows]
    return np.array(found)


def _by(rows, name):
    found: dict = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found.items()
