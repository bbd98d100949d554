"""The plot of `structure prune`: accuracy before pruning, after it, and by epoch."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_invprune_lab.models.recurrent import CELLS, PARTS
from keras_invprune_lab.structure.pruning.table import UNPRUNED

SIZE = 2.6, 2.3  # inches of a panel


def recovery(rows: Iterable[dict]) -> Figure:
    """Draw the mean over seeds of each copy: a panel for each part and kind of cell.

    Each curve begins with the network before pruning, one place left of epoch 0.

    Args:
        rows: Of the table.
    """
    found: dict[tuple[str, str], dict[int, dict[int, list[float]]]] = {}
    for row in rows:
        part, percent, epoch = row["part"], int(row["percent"]), int(row["epoch"])
        curves = found.setdefault((part, row["cell"]), {}).setdefault(percent, {})
        curves.setdefault(epoch, []).append(float(row["test_accuracy"]))
    parts = [part for part in PARTS if any(part == key[0] for key in found)]
    cells = [cell for cell in CELLS if any(cell == key[1] for key in found)]
    size = SIZE[0] * len(cells), SIZE[1] * len(parts)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(parts), len(cells), sharey=True, squeeze=False)
    for line, part in zip(panels, parts, strict=True):
        for axes, cell in zip(line, cells, strict=True):
            before = np.mean(found[UNPRUNED, cell][0][0])
            _draw(axes, before, found.get((part, cell), {}))
            axes.set_title(f"{cell}, {part.replace('_', ' ')}", fontsize="small")
        line[0].set_ylabel("test accuracy, %")
    for axes in panels[-1]:
        axes.set_xlabel("epochs after pruning")
    return figure


def _draw(axes, before, curves):
    """Draw the curves of one part of one kind of cell: {percent: {epoch: figures}}."""
    for percent, figures in sorted(curves.items()):
        values = [before, *(np.mean(figures[epoch]) for epoch in sorted(figures))]
        color = matplotlib.colormaps["viridis"](percent / 110)
        axes.plot(
            [-1, *sorted(figures)], values, ".-", color=color, label=f"{percent} %"
        )
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(fontsize="x-small", ncols=2)
