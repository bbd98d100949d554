"""A predictor that chooses which candidates are worth a training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_invprune.priors import FEATURES, features
from keras_invprune_lab.structure.columns import PARAMETERS
from keras_invprune_lab.structure.prediction.predictors import pipeline
from keras_invprune_lab.structure.prediction.trained import Trained
from keras_invprune_lab.structure.search.genome import graph_from
from keras_invprune_lab.structure.search.strategies import Proposal, Scored

COSTS = (PARAMETERS, "macs")
"""Figures of which more is not better."""
Predict = Callable[[Sequence[str]], np.ndarray]
"""``keys of graphs -> predicted accuracies``."""


def fitted(scored: Mapping[str, Scored], predictor: str, seed: int) -> Predict:
    """Return a predictor that was trained on all evaluations so far.

    Args:
        scored: ``{key: Scored}`` of all that were trained.
        predictor: Name of the regressor, in `predictors.PREDICTORS`.
        seed: Of whatever it draws.
    """
    x = np.array([described(key) for key in scored])
    y = np.array([one.accuracy for one in scored.values()])
    estimator = pipeline(predictor, seed).fit(x, y)
    return lambda keys: estimator.predict(np.array([described(key) for key in keys]))


def from_file(file: Path) -> Predict:
    """Return a predictor that ``structure predict --save`` has written.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a predictor, if it needs other features than
            `FEATURES`, or if it predicts what a network costs.
    """
    trained = Trained.load(file, FEATURES)
    if trained.target in COSTS:
        raise ValueError(
            f"A search starts from a predictor of accuracy. Received: {file}, which "
            f"predicts {trained.target}. Save one with `--target valid_accuracy`."
        )
    return lambda keys: trained.predict(
        dict(zip(FEATURES, described(key), strict=True)) for key in keys
    )


def screened(
    candidates: Sequence[Proposal],
    predict: Predict,
    wanted: int,
    explore: float,
    random: np.random.Generator,
) -> list[Proposal]:
    """Return the candidates that are predicted to be most accurate, and some others.

    Args:
        candidates: New graphs.
        predict: The predictor.
        wanted: Number of candidates to return.
        explore: Share of them that are chosen at random among the others.
        random: Where all chance comes from.

    Returns:
        The best first, then those chosen at random, all with their predictions.
    """
    if not candidates:
        return []
    found = predict([one.key for one in candidates])
    order = list(np.argsort(-found, kind="stable"))
    best = wanted - round(explore * wanted)
    others = random.permutation(order[best:])[: wanted - best] if order[best:] else []
    chosen = [*order[:best], *others]
    return [
        dataclasses.replace(candidates[i], predicted=float(found[i])) for i in chosen
    ]


@functools.lru_cache(maxsize=100_000)
def described(key: str) -> tuple[float, ...]:
    """Return the features of a graph, in the order of `FEATURES`."""
    found = features(graph_from(key))
    return tuple(found[name] for name in FEATURES)
