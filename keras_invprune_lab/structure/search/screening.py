"""A predictor that chooses which candidates are worth a training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from keras_invprune.priors import FEATURES, features
from keras_invprune_lab.structure.predictors import pipeline
from keras_invprune_lab.structure.search.genome import graph_from
from keras_invprune_lab.structure.search.strategies import Proposal, Scored


def screened(
    candidates: Sequence[Proposal],
    scored: Mapping[str, Scored],
    wanted: int,
    explore: float,
    predictor: str,
    random: np.random.Generator,
) -> list[Proposal]:
    """Return the candidates that are predicted to be most accurate, and some others.

    The predictor is trained on all evaluations so far, from the features of the graphs.

    Args:
        candidates: New graphs.
        scored: ``{key: Scored}`` of all that were trained.
        wanted: Number of candidates to return.
        explore: Share of them that are chosen at random among the others.
        predictor: Name of the regressor, in `predictors.PREDICTORS`.
        random: Where all chance comes from.

    Returns:
        The best first, then those chosen at random, all with their predictions.
    """
    seed = int(random.integers(2**31))
    x = np.array([described(key) for key in scored])
    y = np.array([one.accuracy for one in scored.values()])
    fitted = pipeline(predictor, seed).fit(x, y)
    found = fitted.predict(np.array([described(one.key) for one in candidates]))
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
