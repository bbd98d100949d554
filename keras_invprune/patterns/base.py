"""The base class and the argument checks of the patterns."""

import numpy as np

from keras_invprune import contracts
from keras_invprune.contracts import Arrays
from keras_invprune.masks.selection import check_scores
from keras_invprune.saving import Configured

POOLINGS = {"mean": np.add, "max": np.maximum}


class Pattern(Configured, contracts.Pattern):
    """The base class of our patterns: a pattern whose config is its fields."""


def check_pooling(pooling: str) -> None:
    """Raise ValueError unless `pooling` is the name of a pooling."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {sorted(POOLINGS)}. "
            f"Received: pooling={pooling!r}."
        )


def check_axis(scores: Arrays, axis: int, rule: str) -> None:
    """Raise ValueError, which states `rule`, if scores lack the axis or are NaN."""
    for key, values in scores.items():
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(
                f"{rule} Received: '{key}' of shape {values.shape}. Do not prune this "
                "weight, or choose another pattern."
            )
    check_scores(scores)
