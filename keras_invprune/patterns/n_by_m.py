"""n of every m weights."""

import dataclasses
import itertools

import keras
import numpy as np

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import AllocationLike, Arrays
from keras_invprune.masks.selection import Scores, keep_count
from keras_invprune.patterns.base import Pattern, check_axis


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class NByM(Pattern):
    """N:M sparsity: at most n of every m consecutive weights along an axis are kept.

    The n largest scores are kept; of equal scores, the earlier one. Before the schedule
    reaches the pattern's own sparsity, 1 - n/m, max(n, round(m * (1 - sparsity))) of
    every m are kept, and of a last group of r < m weights, at most r. The allocation
    has no influence; `PerLayer` with different sparsities and `Shuffled` are rejected.
    Since no group is kept or removed as a whole, it has no `group` and `expand`.

    Args:
        n: Number of weights that each group keeps, from 1 to m - 1.
        m: Number of weights in a group.
        axis: Axis along which groups are formed, by default the inputs of a kernel.

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

    def __post_init__(self) -> None:
        """Validate the fields."""
        if not (all(map(is_positive_integer, (self.n, self.m))) and self.n < self.m):
            raise ValueError(
                "n of every m weights are kept, so `n` and `m` must be integers with "
                f"0 < n < m, as in NByM(2, 4). Received: n={self.n!r}, m={self.m!r}."
            )

    def unfit(self, shape: tuple[int, ...]) -> str | None:
        """Return a reason if weights of this shape have no room for a whole group."""
        if not -len(shape) <= self.axis < len(shape):
            return f"no axis {self.axis} in {tuple(shape)}"
        if self.m <= shape[self.axis]:
            return None
        return f"fewer than {self.m} along axis {self.axis} of {tuple(shape)}"

    @property
    def target_sparsity(self) -> float:  # type: ignore[override]
        """The final sparsity of this pattern, 1 - n/m."""
        return 1 - self.n / self.m

    def __call__(
        self, scores: Scores, sparsity: float, allocation: AllocationLike
    ) -> Arrays:
        """Return masks that keep the same number of weights in every group.

        Raises:
            ValueError: If scores lack the pattern's axis or are NaN.
        """
        del allocation  # every group keeps the same number: there is nothing to decide
        check_axis(scores, self.axis, f"`NByM` groups weights along axis {self.axis}.")
        count = max(self.n, keep_count(self.m, sparsity))
        return {k: _largest(v, count, self.m, self.axis) for k, v in scores.items()}


def _largest(values: np.ndarray, count: int, size: int, axis: int) -> np.ndarray:
    """Return whether each value is among the `count` largest of its group of `size`."""
    # For the small groups of hardware patterns, comparing pairs is far cheaper than
    # sorting.
    ranks = np.zeros(values.shape, np.min_scalar_type(size))
    values, places = np.moveaxis(values, axis, 0), np.moveaxis(ranks, axis, 0)
    for first, second in itertools.combinations(range(size), 2):
        later = values[second::size]
        later_wins = later > values[first::size][: len(later)]  # not on a tie
        places[second::size] += ~later_wins
        places[first::size][: len(later)] += later_wins
    return ranks < count
