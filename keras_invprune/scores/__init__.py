"""Scores: how much each weight matters. One file each.

A score is any callable ``(weights, model) -> {key: array}``: `weights` maps keys to
NumPy arrays of the stored weights (zero where pruned, but for what momentum has added
since the last epoch's end), `model` is the `PrunedModel`. Low scores are pruned first.
"""

from keras_invprune.identifiers import resolve
from keras_invprune.scores.magnitude import magnitude
from keras_invprune.scores.random import Random

SCORES = {"magnitude": magnitude, "random": Random()}


def get(identifier):
    """Returns the score of that name, or the callable given."""
    return resolve(identifier, SCORES, "score")


__all__ = ["Random", "get", "magnitude"]
