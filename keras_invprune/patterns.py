"""Which weights are pruned together: single weights, blocks, or n of every m.

A pattern is any callable `(scores, sparsity, allocation) -> masks`.
"""

import dataclasses
import itertools
from collections.abc import Callable

import keras
import numpy as np

from keras_invprune.identifiers import resolve
from keras_invprune.selection import Scores, check_scores, keep_count

__all__ = ["Block", "NByM", "Pattern", "Unstructured", "get"]

_POOLINGS = {"mean": np.add, "max": np.maximum}


class Pattern:
    """What these patterns share: a config made of their fields."""

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> "Pattern":
        """The pattern with these arguments."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Unstructured(Pattern):
    """Every weight on its own: the masks are the allocation's."""

    def __call__(self, scores: Scores, sparsity: float, allocation: Callable):
        """Returns `allocation(scores, sparsity)`."""
        return allocation(scores, sparsity)


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Block(Pattern):
    """Blocks over the last two axes, (inputs, outputs), kept or pruned whole.

    A kernel may have any rank from 2: in one of shape (height, width, inputs,
    outputs) each position has its own. The scores of a block are pooled; allocations
    rank and count blocks. They begin at index 0, and the last of an axis is smaller
    where the axis is no multiple: its mean is over what it has.

    Where the axes are multiples, the masks for magnitude, "mean" and `uniform` are
    TF-MOT's for "AVG". Elsewhere TF-MOT pads both ends when it pools but not when it
    masks: it scores other weights than it masks. It fails where an axis has one block
    only.

    Args:
        shape: Size, (inputs, outputs). (4, 1) makes Dense layers fast in LiteRT.
        pooling: "mean" or "max" of a block's scores.

    Example:
        >>> from keras_invprune.allocation import global_topk
        >>> scores = {"kernel": np.array([[1.0, 4.0], [2.0, 3.0]])}
        >>> Block((2, 1))(scores, 0.5, global_topk)["kernel"]
        array([[False,  True],
               [False,  True]])
    """

    shape: tuple[int, int] = (4, 1)
    pooling: str = "mean"

    def __post_init__(self):
        """Validates the fields."""
        is_pair = isinstance(self.shape, tuple | list) and len(self.shape) == 2
        if not (is_pair and all(map(_is_positive_integer, self.shape))):
            raise ValueError(
                "`shape` must be two positive integers, (inputs, outputs), such as "
                f"(4, 1). Received: shape={self.shape!r}."
            )
        if self.pooling not in _POOLINGS:
            raise ValueError(
                f"`pooling` must be one of {sorted(_POOLINGS)}. "
                f"Received: pooling={self.pooling!r}."
            )
        object.__setattr__(self, "shape", tuple(self.shape))

    def __call__(self, scores: Scores, sparsity: float, allocation: Callable):
        """Masks of whole blocks: the allocation sees {key: scores of blocks}.

        Raises:
            ValueError: If scores have a rank below 2, or are NaN.
        """
        _check(scores, -2, "`Block` needs an input and an output axis.")
        pooled = {k: _pool(v, self.shape, self.pooling) for k, v in scores.items()}
        masks = allocation(pooled, sparsity)
        return {k: _expand(masks[k], self.shape, v.shape) for k, v in scores.items()}


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class NByM(Pattern):
    """At most n of every m consecutive weights along an axis are kept.

    The n largest stay, of equal ones the earlier. Below the pattern's own sparsity,
    1 - n/m, it follows the schedule: max(n, round(m * (1 - sparsity))) of every m
    stay. A last group of r < m weights keeps min(r, that number).

    Args:
        n: Number of weights kept of each group.
        m: Size of a group, above n.
        axis: Axis of the groups: by default the inputs of a kernel.

    Example:
        >>> scores = {"kernel": np.array([[1.0], [4.0], [2.0], [3.0]])}
        >>> NByM(2, 4)(scores, 0.5, None)["kernel"][:, 0]
        array([False,  True, False,  True])
    """

    n: int
    m: int
    axis: int = -2

    def __post_init__(self):
        """Validates the fields."""
        if not (all(map(_is_positive_integer, (self.n, self.m))) and self.n < self.m):
            raise ValueError(
                "`n` and `m` must be integers, 0 < n < m: n of every m weights are "
                f"kept, as by NByM(2, 4). Received: n={self.n!r}, m={self.m!r}."
            )

    @property
    def target_sparsity(self) -> float:
        """The sparsity this pattern ends at: 1 - n/m."""
        return 1 - self.n / self.m

    def __call__(self, scores: Scores, sparsity: float, allocation: Callable):
        """Masks with the same number kept in every group, whatever the allocation.

        Raises:
            ValueError: If scores lack the pattern's axis, or are NaN.
        """
        del allocation  # Every group keeps as many: nothing is left to allocate.
        _check(scores, self.axis, f"`NByM` groups weights along axis {self.axis}.")
        count = max(self.n, keep_count(self.m, sparsity))
        return {k: _largest(v, count, self.m, self.axis) for k, v in scores.items()}


def get(identifier: str | dict | Callable | None) -> Callable:
    """A pattern from its name or config, or the callable itself.

    Args:
        identifier: None or "unstructured", the config of a pattern, or a callable.

    Raises:
        ValueError: An unknown name.
        TypeError: None of these, or a class in place of an object.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, type):
        raise TypeError(f"A pattern is an object, not a class. Received: {identifier}.")
    known = {"unstructured": Unstructured()}
    return resolve(identifier or "unstructured", known, "pattern")


def _is_positive_integer(value) -> bool:
    return isinstance(value, int) and value > 0


def _check(scores, axis, rule) -> None:
    for key, values in scores.items():
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(
                f"{rule} Received: '{key}' of shape {values.shape}. Leave this weight "
                "out of the pruning, or choose another pattern."
            )
    check_scores(scores)


def _pool(values, sizes, pooling):
    """Pools blocks of the last two axes, those at the end as large as they are."""
    pooled = values.astype(np.result_type(values, np.float32), copy=False)
    for axis, size in zip((-2, -1), sizes, strict=True):
        values = np.moveaxis(pooled, axis, 0)
        pooled = values[::size].copy(order="K")
        # Strided slices need no padding, and add up in TF-MOT's order: equal bits.
        for offset in range(1, size):
            others = values[offset::size]
            run = pooled[: len(others)]
            _POOLINGS[pooling](run, others, out=run)
        if pooling == "mean":
            lengths = np.minimum(size, len(values) - np.arange(0, len(values), size))
            pooled = (pooled.T / lengths.astype(pooled.dtype)).T
        pooled = np.moveaxis(pooled, 0, axis)
    return pooled


def _expand(mask, sizes, shape):
    mask = mask.repeat(sizes[0], axis=-2).repeat(sizes[1], axis=-1)
    return mask[..., : shape[-2], : shape[-1]]


def _largest(values, count, size, axis):
    """Whether a value is among the `count` largest of its group of `size`."""
    # For the small groups of hardware patterns, pairs are far cheaper than a sort.
    ranks = np.zeros(values.shape, np.min_scalar_type(size))
    values, places = np.moveaxis(values, axis, 0), np.moveaxis(ranks, axis, 0)
    for first, second in itertools.combinations(range(size), 2):
        later = values[second::size]
        later_wins = later > values[first::size][: len(later)]  # not on a tie
        places[second::size] += ~later_wins
        places[first::size][: len(later)] += later_wins
    return ranks < count
