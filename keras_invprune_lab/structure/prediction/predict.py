"""Compares predictors on a table of trained graphs: `structure predict`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_invprune.saving import named
from keras_invprune_lab.structure.prediction.ceiling import Ceiling, noise_ceiling
from keras_invprune_lab.structure.prediction.evaluation import (
    Folds,
    Scores,
    corrected_interval,
    fold_r2,
    importances,
    out_of_fold,
    scores,
)
from keras_invprune_lab.structure.prediction.predictors import PREDICTORS, pipeline
from keras_invprune_lab.structure.prediction.protocol import (
    SHARE,
    Protocol,
    paper_protocol,
)
from keras_invprune_lab.structure.prediction.table import Rows

Show = Callable[[str, float, float], None]
"""``(name, fits done, fits in all)``."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How predictors are compared.

    Attributes:
        predictors: Names in `PREDICTORS`.
        folds: Number of folds.
        repeats: How often the graphs are dealt to folds.
        splits: Number of splits of the paper's protocol; 0 leaves it out. So do ten
            graphs or fewer, of which it would test on one.
        seed: Of folds, predictors and bootstrap.

    Raises:
        ValueError: If a predictor is unknown, or if there is none.
    """

    predictors: tuple[str, ...] = tuple(PREDICTORS)
    folds: int = 10
    repeats: int = 10
    splits: int = 100
    seed: int = 0

    def __post_init__(self):
        """Check the names."""
        if not self.predictors:
            raise ValueError(f"Name a predictor: {', '.join(PREDICTORS)}.")
        for name in self.predictors:
            named(name, PREDICTORS, "predictor")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One predictor on one set of features.

    Attributes:
        inputs: "structure", "proxies" or "both".
        predictor: Its name.
        features: The columns that it reads.
        scores: How good it is.
        predictions: Its out-of-fold predictions, [repeats, graphs].
        lead: Fold R² minus that of the best predictor from structure alone, with its
            interval; None for predictors from structure alone.
    """

    inputs: str
    predictor: str
    features: tuple[str, ...]
    scores: Scores
    predictions: np.ndarray
    lead: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """All that was found for one kind of cell.

    Attributes:
        rows: The graphs.
        entries: The predictors.
        ceiling: The noise ceiling; None if no graphs were trained twice.
        importances: Falls of R² of the best predictor, [folds, its features].
        protocol: The paper's protocol, or nothing.
        settings: How they were compared.
    """

    rows: Rows
    entries: list[Entry]
    ceiling: Ceiling | None
    importances: np.ndarray
    protocol: list[Protocol]
    settings: Settings

    @property
    def best(self) -> Entry:
        """The entry of the highest R², which flatters it: the same folds chose it."""
        return max(self.entries, key=lambda entry: entry.scores.r2)

    def to_json(self) -> dict[str, Any]:
        """Return the figures; predictions of single graphs are left out."""
        return {
            "cell": self.rows.cell,
            "target": self.rows.target,
            "graphs": len(self.rows.runs),
            "trainings": sum(map(len, self.rows.runs)),
            "groups": len(np.unique(self.rows.groups)),
            "ceiling": self.ceiling and dataclasses.asdict(self.ceiling),
            "entries": [entry_figures(self, entry) for entry in self.entries],
            "importances": importance_figures(self),
            "protocol": [protocol_figures(one) for one in self.protocol],
        }


def inputs_of(rows: Rows) -> dict[str, tuple[str, ...]]:
    """Return ``{"structure": names}``, and "proxies" and "both" if there are any."""
    if not rows.proxies:
        return {"structure": rows.features}
    both = (*rows.features, *rows.proxies)
    return {"structure": rows.features, "proxies": rows.proxies, "both": both}


def predict(
    rows: Rows,
    settings: Settings,
    show: Show = lambda name, done, total: None,
) -> Prediction:
    """Compare predictors on the graphs of one kind of cell.

    Args:
        rows: The graphs.
        settings: How to compare.
        show: Called after each fit.

    Raises:
        ValueError: If a fold would have fewer than two graphs, or if all figures are
            equal.
    """
    y, groups, seed = rows.y, rows.groups, settings.seed
    if np.ptp(y) == 0:
        raise ValueError(
            f"All {len(y)} graphs have the same {rows.target}, {y[0]:g}, so that there "
            "is nothing to predict. Choose another target."
        )
    folds = Folds.draw(groups, settings.folds, settings.repeats, seed)
    _check_two_in_each(folds, settings.folds)
    entries = []
    for inputs, features in inputs_of(rows).items():
        x = rows.x[list(features)].to_numpy(float)
        for name in settings.predictors:
            done = _counter(show, f"{rows.cell} {inputs} {name}", folds)
            found = out_of_fold(_maker(name, seed), x, y, folds, done)
            measured = scores(y, found, groups, folds, seed)
            entries.append(Entry(inputs, name, features, measured, found))
    entries = _with_leads(entries, y, folds)
    best = max(entries, key=lambda entry: entry.scores.r2)
    x = rows.x[list(best.features)].to_numpy(float)
    falls = importances(_maker(best.predictor, seed), x, y, folds, seed)
    return Prediction(
        rows,
        entries,
        noise_ceiling(rows.runs, seed),
        falls,
        _protocol(rows, settings, show),
        settings,
    )


def entry_figures(prediction: Prediction, entry: Entry) -> dict[str, Any]:
    """Return the figures of one predictor, by name."""
    ceiling, lead = prediction.ceiling, entry.lead or (None, None, None)
    share = entry.scores.r2 / ceiling.r2 if ceiling and ceiling.r2 > 0 else None
    names = ("lead", "lead_low", "lead_high")
    figures = {**dataclasses.asdict(entry.scores), "ceiling_share": share}
    figures |= dict(zip(names, lead, strict=True))
    return {
        "cell": prediction.rows.cell,
        "inputs": entry.inputs,
        "predictor": entry.predictor,
        # JSON has no NaN, such as the R² of folds in which all figures are equal.
        **{k: None if v is None or np.isnan(v) else v for k, v in figures.items()},
    }


def importance_figures(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the falls of R² of the best predictor, largest first."""
    means = prediction.importances.mean(axis=0)
    spreads = prediction.importances.std(axis=0, ddof=1)
    features = prediction.best.features
    found = [
        {"cell": prediction.rows.cell, "feature": name, "fall": mean, "spread": spread}
        for name, mean, spread in zip(
            features, means.tolist(), spreads.tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda one: -one["fall"])


def protocol_figures(one: Protocol) -> dict[str, Any]:
    """Return R² by the paper's protocol, and its spread over splits."""
    low, middle, high = one.quantiles
    return {
        "predictor": one.predictor,
        "test_networks": one.tests,
        "splits": len(one.r2),
        "authors_split": one.authors if np.isfinite(one.authors) else None,
        "median": middle,
        "low": low,
        "high": high,
        "lowest": float(one.r2.min()),
        "highest": float(one.r2.max()),
    }


def _check_two_in_each(folds, count):
    """Raise ValueError if R² within a fold would be unknown: of a single graph."""
    if min(len(test) for _, _, test in folds.splits()) < 2:
        raise ValueError(
            "R² within a fold and importances need two graphs or more in each fold. "
            f"Received: {count} folds of {folds.rows} graphs. Use fewer folds."
        )


def _maker(name, seed):
    return lambda: pipeline(name, seed)


def _counter(show, name, folds):
    """Return a function without arguments that counts the fits of one predictor."""
    total = sum(map(len, folds.tests))
    done = iter(range(1, total + 1))
    return lambda: show(name, next(done), total)


def _with_leads(entries, y, folds) -> list[Entry]:
    """Compare predictors that read cheap scores with the best that does not."""
    alone = [entry for entry in entries if entry.inputs == "structure"]
    best = max(alone, key=lambda entry: entry.scores.r2)
    base = fold_r2(y, best.predictions, folds)
    found = []
    for entry in entries:
        if entry.inputs != "structure":
            gaps = fold_r2(y, entry.predictions, folds) - base
            lead = float(gaps.mean()), *corrected_interval(gaps, folds.ratio)
            entry = dataclasses.replace(entry, lead=lead)
        found.append(entry)
    return found


def _protocol(rows, settings, show) -> list[Protocol]:
    if not settings.splits or len(rows.runs) * SHARE <= 1:
        return []
    done, total = iter(range(1, settings.splits + 1)), settings.splits
    name = f"{rows.cell} the paper's protocol"
    x = rows.x[list(rows.features)].to_numpy(float)
    return paper_protocol(x, rows.y, total, lambda: show(name, next(done), total))
