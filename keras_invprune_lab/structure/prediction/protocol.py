"""The protocol of the paper, as its authors carried it out, on many splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import AdaBoostRegressor, RandomForestRegressor
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

SPLIT = 7
"""The one split of the authors, as scikit-learn's `random_state`."""
SHARE = 0.1  # of the rows, for the test: 20 of 200

REGRESSORS = {
    "bayesian-ridge": lambda seed: BayesianRidge(),
    "random-forest": lambda seed: RandomForestRegressor(random_state=seed),
    "adaboost": lambda seed: AdaBoostRegressor(random_state=seed),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """R² of one regressor by the paper's protocol.

    Attributes:
        predictor: Name of the regressor.
        r2: R² on the test networks of each split; the split number is the place.
        tests: Number of test networks.
    """

    predictor: str
    r2: np.ndarray
    tests: int

    @property
    def authors(self) -> float:
        """R² of the split that the authors drew; NaN if it was not among them."""
        return float(self.r2[SPLIT]) if len(self.r2) > SPLIT else float("nan")

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """The 10 %, 50 % and 90 % quantiles over the splits."""
        low, middle, high = np.quantile(self.r2, [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)


def paper_protocol(
    x: np.ndarray,
    y: np.ndarray,
    splits: int = 100,
    done: Callable[[], None] = lambda: None,
) -> list[Protocol]:
    """Return R² by the paper's protocol, over many splits instead of one.

    The features are scaled to [0, 1] by all rows, the test rows included. A tenth of
    the rows is the test, 20 networks of 200, and equal graphs may be on both sides. The
    regressors have scikit-learn's defaults. The authors drew one split (number 7) and
    did not seed the regressors. So their figure depends on luck, and this one is only
    for comparison; `evaluation` has the measure.

    Args:
        x: Features, [rows, features].
        y: Figures, [rows].
        splits: Number of splits, each with its own number as the seed.
        done: Called after each split.

    Source:
        Stier, Darji and Granitzer 2021 (2107.12917), and the script
        rnn/experiments/results/structure/training/training.py of its repository.
    """
    scaled = MinMaxScaler().fit_transform(x)
    found: dict[str, list[float]] = {name: [] for name in REGRESSORS}
    tests = 0
    for split in range(splits):
        parts = train_test_split(scaled, y, test_size=SHARE, random_state=split)
        x_train, x_test, y_train, y_test = parts
        tests = len(y_test)
        for name, make in REGRESSORS.items():
            fitted = make(split).fit(x_train, y_train)
            found[name].append(r2_score(y_test, fitted.predict(x_test)))
        done()
    return [Protocol(name, np.array(r2), tests) for name, r2 in found.items()]
