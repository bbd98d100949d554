"""What the patterns share."""

import numpy as np

from keras_invprune import contracts
from keras_invprune.contracts import Arrays
from keras_invprune.masks.selection import check_scores
from keras_invprune.saving import Configured

POOLINGS = {"mean": np.add, "max": np.maximum}


class Pattern(Configured, contracts.Pattern):
    """A config made of the fields, and the contract of a pattern."""


def is_positive_integer(value: object) -> bool:
    """Whether it is an `int` above zero."""
    return isinstance(value, int) and value > 0


def check_pooling(pooling: str):
    """Raises ValueError unless it names one."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {sorted(POOLINGS)}. "
            f"Received: pooling={pooling!r}."
        )


def check_axis(scores: Arrays, axis: int, rule: str):
    """Raises ValueError where scores lack the axis, or are NaN."""
    for key, values in scores.items():
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(
                f"{rule} Received: '{key}' of shape {values.shape}. Leave this weight "
                "out of the pruning, or choose another pattern."
            )
    check_scores(scores)
