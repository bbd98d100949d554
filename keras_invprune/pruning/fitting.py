"""The selected weights that a plan can mask; others are logged, with reasons."""

import logging
from collections.abc import Collection, Mapping

import keras

from keras_invprune.contracts import Pattern
from keras_invprune.graph.layouts import unfit
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import Weight
from keras_invprune.pruning.plan import Plan

logger = logging.getLogger("keras_invprune")


def fitting(weights: Mapping[str, Weight], keys: list[str], plan: Plan) -> list[str]:
    """Return the keys of the weights that the pattern fits, and log the others."""
    plan.left_out = unfit(weights, keys, plan.pattern)
    return left(keys, plan.left_out, plan)


def tied(
    model: keras.Model, weights: Mapping[str, Weight], keys: list[str], plan: Plan
) -> list[str]:
    """Return the keys to mask if the pattern removes units that layers share."""
    every = prunable_weights(model, lambda *_: True, weights)
    plan.bind(model, weights, keys, every)
    if plan.dependencies is None:
        if Pattern.of(plan.pattern).tied:
            logger.warning(
                "%r prunes the units of each weight by themselves: %s.",
                plan.pattern,
                plan.untied(model),
            )
        return keys
    plan.left_out |= plan.dependencies.reasons
    masked = {*left(keys, plan.dependencies.reasons, plan), *plan.readers}
    return [key for key in weights if key in masked]


def left(keys: Collection[str], reasons: Mapping[str, str], plan: Plan) -> list[str]:
    """Return the keys without a reason, and log the others; raise if none is left."""
    if len(reasons) == len(keys):
        tied = Pattern.of(plan.pattern).tied
        other = "Units(tied=False)" if tied else "a smaller pattern"
        raise ValueError(
            f"{plan.pattern!r} fits none of the weights to prune: {reasons}. Choose "
            f"{other}, or select other weights."
        )
    for key, reason in reasons.items():
        logger.warning("%s is left out: %s", key, reason)
    return [key for key in keys if key not in reasons]
