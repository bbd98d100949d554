"""How good a predictor is: repeated k-fold R², Kendall's tau, regret, importances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn.inspection import permutation_importance

REPLICATES = 1000
LEVEL = 0.95
TOP = 10
"""How many of the graphs that look best would be trained."""


@dataclasses.dataclass(frozen=True)
class Folds:
    """Which rows are tested together: repeated k-fold over groups.

    Attributes:
        tests: ``[repeat][fold]``, the test rows.
        rows: Number of rows.
    """

    tests: list[list[np.ndarray]]
    rows: int

    @classmethod
    def draw(cls, groups: np.ndarray, folds: int, repeats: int, seed: int = 0) -> Folds:
        """Return folds in which no group is on both sides.

        Args:
            groups: The group of each row, [rows].
            folds: Number of folds, at least 2.
            repeats: How often all rows are dealt to folds, at least 1.
            seed: Of the dealing.

        Raises:
            ValueError: If there are fewer groups than folds, or if the numbers are too
                small.
        """
        names = np.unique(groups)
        if folds < 2 or repeats < 1 or len(names) < max(folds, 3):
            raise ValueError(
                "Repeated k-fold needs 2 folds or more, a repeat or more, and as many "
                "graphs as folds, at least 3; graphs of equal structure count once. "
                f"Received: {folds} folds, {repeats} repeats, {len(names)} graphs."
            )
        random = np.random.default_rng(seed)
        dealt = [
            np.array_split(random.permutation(names), folds) for _ in range(repeats)
        ]
        tests = [
            [np.flatnonzero(np.isin(groups, part)) for part in parts] for parts in dealt
        ]
        return cls(tests, len(groups))

    def splits(self):
        """Yield (repeat, training rows, test rows)."""
        everything = np.arange(self.rows)
        for repeat, parts in enumerate(self.tests):
            for test in parts:
                yield repeat, np.setdiff1d(everything, test), test

    @property
    def ratio(self) -> float:
        """The mean number of test rows for each training row."""
        return float(
            np.mean([len(test) / len(train) for _, train, test in self.splits()])
        )


def out_of_fold(
    make: Callable[[], object],
    x: np.ndarray,
    y: np.ndarray,
    folds: Folds,
    done: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Return the prediction of each row by a predictor that has not seen its group.

    Args:
        make: Returns an untrained estimator.
        x: Features, [rows, features].
        y: Figures, [rows].
        folds: Which rows are tested together.
        done: Called after each fit.

    Returns:
        Predictions, [repeats, rows].
    """
    predictions = np.empty((len(folds.tests), len(y)))
    for repeat, train, test in folds.splits():
        predictions[repeat, test] = make().fit(x[train], y[train]).predict(x[test])
        done()
    return predictions


@dataclasses.dataclass(frozen=True)
class Scores:
    """How good predictions are. All intervals are of 95 %.

    Attributes:
        r2: R² of all out-of-fold predictions of a repeat, averaged over repeats.
        r2_low: Lower end of its interval: bootstrap over groups and repeats.
        r2_high: Upper end.
        r2_spread: Standard deviation (n - 1) over repeats.
        tau: Kendall's tau-b, averaged over repeats.
        tau_low: Lower end of its interval, likewise.
        tau_high: Upper end.
        fold_r2: R² within a fold, averaged over all folds.
        fold_r2_low: Lower end of its interval: t, corrected for overlap.
        fold_r2_high: Upper end.
        regret: Best figure of all, minus the best among the ten graphs that are
            predicted to be best; in units of the figure, averaged over repeats.
        mean_regret: The same of the mean of the ten.
    """

    r2: float
    r2_low: float
    r2_high: float
    r2_spread: float
    tau: float
    tau_low: float
    tau_high: float
    fold_r2: float
    fold_r2_low: float
    fold_r2_high: float
    regret: float
    mean_regret: float


def scores(
    y: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray,
    folds: Folds,
    seed: int = 0,
) -> Scores:
    """Return how good out-of-fold predictions are.

    The bootstrap draws whole groups with replacement and, for each draw, one of the
    repeats. So its intervals hold both which graphs happened to be trained and how
    they were dealt to folds. They do not hold how a predictor would differ if it were
    trained on other graphs.

    Args:
        y: Figures, [rows].
        predictions: Out-of-fold predictions, [repeats, rows].
        groups: The group of each row, [rows].
        folds: The folds of the predictions.
        seed: Of the bootstrap.
    """
    r2 = [r2_of(y, one) for one in predictions]
    tau = [kendall(y, one) for one in predictions]
    drawn = _bootstrap(y, predictions, groups, seed)
    (r2_low, tau_low), (r2_high, tau_high) = np.nanquantile(
        drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    within = fold_r2(y, predictions, folds)
    lost = [regrets(y, one) for one in predictions]
    values = (
        *(np.mean(r2), r2_low, r2_high, np.std(r2, ddof=1) if len(r2) > 1 else 0.0),
        *(np.mean(tau), tau_low, tau_high),
        *(np.mean(within), *corrected_interval(within, folds.ratio)),
        *np.mean(lost, axis=0),
    )
    return Scores(*map(float, values))


def r2_of(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return 1 - Σ (y - p)² / Σ (y - mean(y))², of figures that are not all equal."""
    return float(1 - np.sum((y - predictions) ** 2) / np.sum((y - y.mean()) ** 2))


def kendall(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return Kendall's tau-b; 0 if all predictions or all figures are equal."""
    if np.ptp(y) == 0 or np.ptp(predictions) == 0:
        return 0.0
    return float(stats.kendalltau(y, predictions).statistic)


def fold_r2(y: np.ndarray, predictions: np.ndarray, folds: Folds) -> np.ndarray:
    """Return R² within each fold, [repeats · folds], without folds of equal figures."""
    found = [
        r2_of(y[test], predictions[repeat, test])
        for repeat, _, test in folds.splits()
        if len(test) > 1 and np.ptp(y[test]) > 0
    ]
    return np.array(found) if found else np.array([np.nan])


def corrected_interval(values: np.ndarray, ratio: float) -> tuple[float, float]:
    """Return the t interval of a mean over splits whose training rows overlap.

    The variance of the mean is s² (1 / J + ratio) instead of s² / J: scores of splits
    that share their training rows are not independent.

    Args:
        values: A score, or a difference of two, for each of the J splits.
        ratio: Test rows for each training row.

    Source:
        Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning
        52, section 3.
    """
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    error = np.sqrt(np.var(values, ddof=1) * (1 / count + ratio))
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * error
    return float(np.mean(values) - half), float(np.mean(values) + half)


def regrets(
    y: np.ndarray, predictions: np.ndarray, top: int = TOP
) -> tuple[float, float]:
    """Return what is lost by training only the graphs that are predicted to be best.

    Returns:
        The best figure minus the best of the chosen, and the mean of the best `top`
        minus the mean of the chosen. Of equal predictions the first rows are chosen.
    """
    chosen = y[np.argsort(-predictions, kind="stable")[:top]]
    best = np.sort(y)[::-1][:top]
    return float(best[0] - chosen.max()), float(best.mean() - chosen.mean())


def importances(
    make: Callable[[], object],
    x: np.ndarray,
    y: np.ndarray,
    folds: Folds,
    seed: int = 0,
    shuffles: int = 5,
) -> np.ndarray:
    """Return how much R² falls on test rows if a feature is shuffled among them.

    Features that tell the same share their importance, or hide one another.

    Args:
        make: Returns an untrained estimator.
        x: Features, [rows, features].
        y: Figures, [rows].
        folds: Which rows are tested together; only the first repeat is used.
        seed: Of the shuffling.
        shuffles: How often each feature is shuffled.

    Returns:
        [folds, features].

    Source:
        Breiman 2001, Random forests, Machine Learning 45, section 10.
    """
    found = []
    for repeat, train, test in folds.splits():
        if repeat or len(test) < 2:
            continue
        fitted = make().fit(x[train], y[train])
        drop = permutation_importance(
            fitted, x[test], y[test], n_repeats=shuffles, random_state=seed
        )
        found.append(drop.importances_mean)
    return np.array(found)


def _bootstrap(y, predictions, groups, seed) -> list[tuple[float, float]]:
    """Return (R², tau) of draws of groups with replacement."""
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == number) for number in np.unique(groups)]
    found = []
    for draw in range(REPLICATES):
        chosen = random.integers(len(members), size=len(members))
        rows = np.concatenate([members[number] for number in chosen])
        one = predictions[draw % len(predictions), rows]
        if np.ptp(y[rows]) > 0:
            found.append((r2_of(y[rows], one), kendall(y[rows], one)))
    return found or [(np.nan, np.nan)]
