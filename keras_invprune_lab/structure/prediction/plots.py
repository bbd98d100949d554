"""The plots of `structure predict`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_invprune_lab.structure.prediction.predict import Prediction

SHOWN = 12
"""How many features the plot of importances has."""
COLUMNS = 4  # of the panels, one for each feature
DOT = {"s": 6, "alpha": 0.5, "linewidths": 0}


def draw(prediction: Prediction, out: Path) -> list[Path]:
    """Draw all plots of one kind of cell, and return their files.

    Args:
        prediction: What was found.
        out: An existing folder.
    """
    plots = {
        "features": against_features,
        "predicted": predicted_against_true,
        "importances": importance_bars,
    }
    if prediction.protocol:
        plots["protocol"] = over_splits
    files = []
    cell = re.sub(r"[^\w-]", "_", prediction.rows.cell)  # any text, from the table
    for name, plot in plots.items():
        files.append(out / (f"{name}-{cell}.png" if cell else f"{name}.png"))
        plot(prediction).savefig(files[-1], dpi=120)
    return files


def against_features(prediction: Prediction) -> Figure:
    """Draw the figure against each feature and each cheap score."""
    rows = prediction.rows
    names = [*rows.features, *rows.proxies]
    columns = min(COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.1 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        axes.scatter(rows.x[name], rows.y, **DOT)
        axes.set_xlabel(name, fontsize="small")
        axes.tick_params(labelsize="x-small")
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    figure.supylabel(rows.target)
    return figure


def predicted_against_true(prediction: Prediction) -> Figure:
    """Draw the best predictor's out-of-fold predictions against the truth."""
    rows, best = prediction.rows, prediction.best
    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(best.predictions.mean(axis=0), rows.y, **DOT)
    axes.axline((rows.y.mean(),) * 2, slope=1, color="black", linewidth=1)
    found = best.scores
    title = f"{best.predictor}, {best.inputs}: R² {found.r2:.2f}, τ {found.tau:.2f}"
    axes.set_title(title, fontsize="medium")
    axes.set(xlabel=f"predicted {rows.target}", ylabel=rows.target)
    return figure


def importance_bars(prediction: Prediction) -> Figure:
    """Draw how much R² falls if a feature is shuffled, with the spread over folds."""
    means = prediction.importances.mean(axis=0)
    spreads = prediction.importances.std(axis=0, ddof=1)
    order = np.argsort(-means)[:SHOWN][::-1]
    names = [prediction.best.features[place] for place in order]
    figure = Figure(figsize=(6, 0.6 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, means[order], xerr=spreads[order], color="tab:blue", ecolor="gray")
    axes.set_xlabel("fall of R² if the feature is shuffled")
    return figure


def over_splits(prediction: Prediction) -> Figure:
    """Draw R² over the splits of the paper's protocol, next to repeated k-fold."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    found = prediction.protocol
    places = np.arange(1, len(found) + 1)
    axes.boxplot([one.r2 for one in found])
    axes.set_xticks(places, [one.predictor for one in found])
    split = [one.authors for one in found]
    own = {
        "marker": "D",
        "color": "tab:red",
        "zorder": 3,
        "label": "the authors' split",
    }
    if np.isfinite(split).all():  # it is number 7 of the splits
        axes.scatter(places, split, **own)
    best = prediction.best.scores
    axes.axhline(best.r2, color="tab:blue", label="best of repeated k-fold")
    axes.axhspan(best.r2_low, best.r2_high, color="tab:blue", alpha=0.15)
    if prediction.ceiling:
        line = {"color": "black", "ls": "--", "label": "noise ceiling"}
        axes.axhline(prediction.ceiling.r2, **line)
    axes.set_ylabel(f"R² on {found[0].tests} test networks, by split")
    axes.legend(fontsize="x-small")
    return figure
