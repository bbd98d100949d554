"""n of every m weights."""

import dataclasses
import itertools
from collections.abc import Callable

import keras
import numpy as np

from keras_invprune.masks.selection import Scores, keep_count
from keras_invprune.patterns.base import Pattern, check_axis, is_positive_integer


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class NByM(Pattern):
    """At most n of every m consecutive weights along an axis are kept.

    The n largest stay, of equal ones the earlier. Below the pattern's own sparsity,
    1 - n/m, it follows the schedule: max(n, round(m * (1 - sparsity))) of every m
    stay. A last group of r < m weights keeps min(r, that number). Allocations have
    nothing to say; one with numbers for each weight, or `Shuffled`, is refused.

    Args:
        n: Number of weights kept of each group.
        m: Size of a group, above n.
        axis: Axis of the groups: by default the inputs of a kernel.

    Example:
        >>> scores = {"kernel": np.array([[1.0], [4.0], [2.0], [3.0]])}
        >>> NByM(2, 4)(scores, 0.5, None)["kernel"][:, 0]
        array([False,  True, False,  True])
    """

    on_matrices = True
    allocates = False
    n: int
    m: int
    axis: int = -2

    def __post_init__(self):
        """Validates the fields."""
        if not (all(map(is_positive_integer, (self.n, self.m))) and self.n < self.m):
            raise ValueError(
                "`n` and `m` must be integers, 0 < n < m: n of every m weights are "
                f"kept, as by NByM(2, 4). Received: n={self.n!r}, m={self.m!r}."
            )

    def unfit(self, shape: tuple[int, ...]):
        """A weight fits if it has room for one whole group."""
        if not -len(shape) <= self.axis < len(shape):
            return f"no axis {self.axis} in {tuple(shape)}"
        if self.m <= shape[self.axis]:
            return None
        return f"fewer than {self.m} along axis {self.axis} of {tuple(shape)}"

    @property
    def target_sparsity(self) -> float:  # type: ignore[override]
        """The sparsity this pattern ends at: 1 - n/m."""
        return 1 - self.n / self.m

    def __call__(self, scores: Scores, sparsity: float, allocation: Callable):
        """Returns masks with as many kept in every group, whatever the allocation.

        Raises:
            ValueError: If scores lack the pattern's axis, or are NaN.
        """
        del allocation  # Every group keeps as many: nothing is left to allocate.
        check_axis(scores, self.axis, f"`NByM` groups weights along axis {self.axis}.")
        count = max(self.n, keep_count(self.m, sparsity))
        return {k: _largest(v, count, self.m, self.axis) for k, v in scores.items()}


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
