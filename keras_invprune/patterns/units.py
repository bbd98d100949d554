"""Units of Dense layers and filters of convolutions."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import AllocationLike, Arrays
from keras_invprune.patterns.base import Pattern, check_axis, check_pooling


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Units(Pattern):
    """Units of Dense layers and filters of convolutions, kept or pruned whole.

    A unit's score is pooled over its weights. Allocations rank and count units, so the
    share of pruned units is exact. The share of pruned weights is larger if units are
    tied, since the weights that read a removed unit go with it. Each family of tied
    units keeps at least one, since Keras has no layers without units.

    If `prune` is given no allocation, the same share of each family, or weight, goes:
    "uniform". One ranking of all units starves layers, since their scores are means
    over different numbers of weights (benchmarks/unit_allocations.py).

    Args:
        pooling: "mean" or "max" of a unit's scores.
        tied: Whether units that can only be removed together are one group: both sides
            of a residual addition, a filter and its gate, all that a head of attention
            consists of, the gates of a recurrent unit. The weights that make them and
            those that read them are masked, so that `keras_invprune.compact` removes
            the groups whole. Units that must stay, such as those in front of a
            LayerNormalization, are not pruned. If False, the units of each weight are
            pruned by themselves: the output of a unit without weights is constant, and
            its bias stays.
        round_to: The number of units to keep in each family of tied units, or in each
            weight, is rounded up to a multiple of this, as some runtimes like it.

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
    default_allocation = "uniform"
    pooling: str = "mean"
    tied: bool = True
    round_to: int = 1

    def __post_init__(self) -> None:
        """Validate the fields."""
        check_pooling(self.pooling)
        if not is_positive_integer(self.round_to):
            raise ValueError(
                "`round_to` must be a positive integer, such as 8. "
                f"Received: round_to={self.round_to!r}."
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the pattern of a config; before `tied`, units were not."""
        return cls(**{"tied": False} | config)

    def __call__(
        self,
        scores: Arrays,
        sparsity: float,
        allocation: AllocationLike,
    ) -> Arrays:
        """Return masks that keep or remove whole units, as the allocation decides."""
        return super().__call__(scores, sparsity, self._rounding(allocation))

    def _rounding(self, allocation: AllocationLike) -> AllocationLike:
        def rounded(scores: Arrays, sparsity: float) -> Arrays:
            masks = allocation(scores, sparsity)
            least = int(self.tied)
            return {
                key: _rounded_up(mask, scores[key], self.round_to, least)
                for key, mask in masks.items()
            }

        return rounded

    def group(self, scores: Arrays) -> Arrays:
        """Return the pooled scores of the units.

        Raises:
            ValueError: If scores have a rank below 2 or are NaN.
        """
        check_axis(scores, -2, "`Units` needs an input and an output axis.")
        return {key: self._pool(values) for key, values in scores.items()}

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return for each weight the value of its unit."""
        return {key: np.broadcast_to(masks[key], s) for key, s in shapes.items()}

    def _pool(self, values: np.ndarray) -> np.ndarray:
        matrix = values.reshape(-1, values.shape[-1])
        if self.pooling == "max":
            return matrix.max(axis=0)
        return matrix.mean(axis=0, dtype=np.result_type(values, np.float32))


def _rounded_up(
    mask: np.ndarray, scores: np.ndarray, multiple: int, least: int
) -> np.ndarray:
    """Return the mask with the best of the removed units, up to a multiple."""
    mask = np.array(mask, bool)
    kept = int(np.count_nonzero(mask))
    missing = -(-max(kept, least) // multiple) * multiple - kept
    removed = np.flatnonzero(~mask)
    mask[removed[np.argsort(-scores[removed], kind="stable")[:missing]]] = True
    return mask
