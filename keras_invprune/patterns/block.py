"""Blocks of weights."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune.arguments import is_positive_integer, plain
from keras_invprune.contracts import Arrays
from keras_invprune.patterns.base import POOLINGS, Pattern, check_axis, check_pooling


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Block(Pattern):
    """Blocks over the last two axes, [inputs, outputs], which are kept or pruned whole.

    A kernel may have any rank >= 2. In a kernel of shape [height, width, inputs,
    outputs], each position has its own blocks. The scores of a block are pooled;
    allocations rank and count blocks. Blocks begin at index 0. If an axis is not a
    multiple of the block size, its last block is smaller and is pooled over fewer
    scores.

    If both axes are multiples, the masks for magnitude, "mean" and `uniform` equal
    TF-MOT's for "AVG". Otherwise TF-MOT pads both ends for pooling but not for masking,
    so that it scores other weights than it masks. It fails if an axis has only one
    block.

    Args:
        shape: Block size in weights, (inputs, outputs). (4, 1) makes Dense layers fast
            in LiteRT.
        pooling: "mean" or "max" of a block's scores.

    Example:
        >>> from keras_invprune.allocation import global_topk
        >>> scores = {"kernel": np.array([[1.0, 4.0], [2.0, 3.0]])}
        >>> Block((2, 1))(scores, 0.5, global_topk)["kernel"]
        array([[False,  True],
               [False,  True]])
    """

    on_matrices = True
    shape: tuple[int, int] = (4, 1)
    pooling: str = "mean"

    def __post_init__(self) -> None:
        """Validate the fields."""
        is_pair = isinstance(self.shape, tuple | list) and len(self.shape) == 2
        if not (is_pair and all(map(is_positive_integer, self.shape))):
            raise ValueError(
                "`shape` must be two positive integers, (inputs, outputs), such as "
                f"(4, 1). Received: shape={self.shape!r}."
            )
        check_pooling(self.pooling)
        object.__setattr__(self, "shape", plain(tuple(self.shape)))

    def unfit(self, shape: tuple[int, ...]) -> str | None:
        """Return a reason if weights of this shape have no room for a whole block."""
        if all(size <= axis for size, axis in zip(self.shape, shape[-2:], strict=True)):
            return None
        return f"no block of {self.shape} fits in {tuple(shape[-2:])}"

    def group(self, scores: Arrays) -> Arrays:
        """Return the pooled scores of the blocks.

        Raises:
            ValueError: If scores have a rank below 2 or are NaN.
        """
        check_axis(scores, -2, "`Block` needs an input and an output axis.")
        return {k: _pool(v, self.shape, self.pooling) for k, v in scores.items()}

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return for each weight the value of its block."""
        return {k: _expand(masks[k], self.shape, s) for k, s in shapes.items()}


def _pool(values: np.ndarray, sizes: tuple[int, int], pooling: str) -> np.ndarray:
    """Pool blocks of the last two axes; the last block of an axis may be smaller."""
    pooled = values.astype(np.result_type(values, np.float32), copy=False)
    for axis, size in zip((-2, -1), sizes, strict=True):
        values = np.moveaxis(pooled, axis, 0)
        pooled = values[::size].copy(order="K")
        # Strided slices need no padding, and add in TF-MOT's order: the bits are equal.
        for offset in range(1, size):
            others = values[offset::size]
            run = pooled[: len(others)]
            POOLINGS[pooling](run, others, out=run)
        if pooling == "mean":
            lengths = np.minimum(size, len(values) - np.arange(0, len(values), size))
            pooled = (pooled.T / lengths.astype(pooled.dtype)).T
        pooled = np.moveaxis(pooled, 0, axis)
    return pooled


def _expand(
    mask: np.ndarray, sizes: tuple[int, int], shape: tuple[int, ...]
) -> np.ndarray:
    mask = mask.repeat(sizes[0], axis=-2).repeat(sizes[1], axis=-1)
    return mask[..., : shape[-2], : shape[-1]]
