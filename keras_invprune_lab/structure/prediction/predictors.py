"""The regressors, by name. They scale their training rows, and never see others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from keras_invprune.saving import named

LEAF = 0.0025
"""Smallest share of the rows in a leaf: one of 200 rows, ten of 4,000."""


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A regressor.

    Attributes:
        title: What tables and plots call it.
        make: ``(seed) -> estimator`` of scikit-learn, which gets scaled features.
    """

    title: str
    make: Callable[[int], Any]


def _scaled(estimator) -> TransformedTargetRegressor:
    """Scale the figure too, since the estimator's tolerance is in its units."""
    return TransformedTargetRegressor(estimator, transformer=StandardScaler())


def _ridge(seed):
    del seed
    return _scaled(BayesianRidge())


def _vectors(seed):
    del seed
    return _scaled(SVR(C=1.0, epsilon=0.1))


def _forest(seed):
    return RandomForestRegressor(min_samples_leaf=LEAF, random_state=seed)


def _extra(seed):
    return ExtraTreesRegressor(min_samples_leaf=LEAF, random_state=seed)


def _boosting(seed):
    return GradientBoostingRegressor(subsample=0.7, random_state=seed)


def _vote(seed):
    members = {"ridge": _ridge, "vectors": _vectors, "extra": _extra}
    return VotingRegressor([(name, make(seed)) for name, make in members.items()])


PREDICTORS = {
    "bayesian-ridge": Predictor("Bayesian ridge", _ridge),
    "support-vectors": Predictor("support vectors", _vectors),
    "random-forest": Predictor("random forest", _forest),
    "extra-trees": Predictor("extra trees", _extra),
    "adaboost": Predictor(
        "AdaBoost", lambda seed: AdaBoostRegressor(random_state=seed)
    ),
    "gradient-boosting": Predictor("gradient boosting", _boosting),
    "vote": Predictor("mean of ridge, vectors and extra trees", _vote),
}


def pipeline(name: str, seed: int) -> Pipeline:
    """Return an untrained predictor.

    Args:
        name: One of `PREDICTORS`.
        seed: Of whatever it draws.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
    """
    predictor = named(name, PREDICTORS, "predictor")
    return make_pipeline(StandardScaler(), predictor.make(seed))
