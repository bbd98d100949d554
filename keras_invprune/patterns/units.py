"""Units of Dense layers and filters of convolutions."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune.contracts import Arrays
from keras_invprune.patterns.base import Pattern, check_axis, check_pooling


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Units(Pattern):
    """Units of Dense layers and filters of convolutions, kept or pruned whole.

    A unit's score is pooled over its weights. Allocations rank and count units, so the
    share of pruned units is exact. The share of pruned weights is exact if all units
    have the same number of weights. Biases and BatchNorm are not masked: the output of
    a unit without weights is constant.

    Args:
        pooling: "mean" or "max" of a unit's scores.

    Example:
        >>> from keras_invprune.allocation import global_topk
        >>> scores = {"kernel": np.array([[1.0, 4.0], [2.0, 3.0]])}
        >>> Units()(scores, 0.5, global_topk)["kernel"]
        array([[False,  True],
               [False,  True]])

    Source:
        Li et al. 2017, Pruning filters for efficient ConvNets (1608.08710), section
        3.1. The mean magnitude is the paper's L1 norm over the number of weights.
    """

    on_matrices = True
    pooling: str = "mean"

    def __post_init__(self):
        """Validate the fields."""
        check_pooling(self.pooling)

    def group(self, scores: Arrays):
        """Return the pooled scores of the units.

        Raises:
            ValueError: If scores have a rank below 2 or are NaN.
        """
        check_axis(scores, -2, "`Units` needs an input and an output axis.")
        return {key: self._pool(values) for key, values in scores.items()}

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]):
        """Return for each weight the value of its unit."""
        return {key: np.broadcast_to(masks[key], s) for key, s in shapes.items()}

    def _pool(self, values):
        matrix = values.reshape(-1, values.shape[-1])
        if self.pooling == "max":
            return matrix.max(axis=0)
        return matrix.mean(axis=0, dtype=np.result_type(values, np.float32))
