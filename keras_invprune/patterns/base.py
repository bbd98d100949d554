"""What the patterns share."""

import numpy as np

from keras_invprune.masks.selection import check_scores
from keras_invprune.saving import Configured

POOLINGS = {"mean": np.add, "max": np.maximum}


class Pattern(Configured):
    """A config made of the fields, and what most patterns need of a weight.

    Attributes:
        on_matrices: Whether it is to see each weight as a stack of matrices of
            inputs times outputs (`keras_invprune.graph.layouts`), whatever its layer.
    """

    on_matrices = False

    def unfit(self, shape) -> str | None:
        """Why weights of this shape are left out, or None: they fit."""
        del shape
        return None


def is_positive_integer(value) -> bool:
    """Whether it is an `int` above zero."""
    return isinstance(value, int) and value > 0


def check_pooling(pooling):
    """Raises ValueError unless it names one."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {sorted(POOLINGS)}. "
            f"Received: pooling={pooling!r}."
        )


def check_axis(scores, axis, rule):
    """Raises ValueError where scores lack the axis, or are NaN."""
    for key, values in scores.items():
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(
                f"{rule} Received: '{key}' of shape {values.shape}. Leave this weight "
                "out of the pruning, or choose another pattern."
            )
    check_scores(scores)
