"""The weights of a model in the groups that a pattern keeps or removes together."""

import bisect
import functools
from collections.abc import Callable, Mapping

import numpy as np

from keras_invprune.contracts import (
    AllocationLike,
    Arrays,
    AsMatrices,
    Pattern,
    PatternLike,
)
from keras_invprune.graph.groups import Dependencies

ROUNDING = 1e-9  # by which the cost of equal masks may differ


class Grouped:
    """A pattern applied to certain weights, arranged as it needs them.

    Args:
        pattern: ``(scores, sparsity, allocation) -> masks``.
        shapes: ``{key: shape}`` of the weights.
        layouts: ``{key: Layout}``, used if the pattern needs matrices. A weight without
            a layout keeps its shape.
    """

    def __init__(
        self,
        pattern: PatternLike,
        shapes: Mapping[str, tuple[int, ...]],
        layouts: Mapping[str, AsMatrices] | None = None,
    ):
        self.pattern = pattern
        self.shapes = {key: tuple(shape) for key, shape in shapes.items()}
        known = layouts if layouts and Pattern.of(pattern).on_matrices else {}
        self._views = {key: known[key] for key in shapes if key in known}

    @functools.cached_property
    def allocates(self) -> bool:
        """Whether the allocation influences the masks."""
        if isinstance(self.pattern, Pattern):
            return self.pattern.allocates
        return bool(self.pool(self.zeros()))

    def zeros(self) -> Arrays:
        """Return zeros of the weights' shapes, which take no memory."""
        zero = np.float32(0)
        return {key: np.broadcast_to(zero, s) for key, s in self.shapes.items()}

    def masks(
        self,
        scores: Arrays,
        sparsity: float,
        allocation: AllocationLike,
        left: Arrays | None = None,
    ) -> Arrays:
        """Return the masks for scores of single weights.

        Args:
            scores: ``{key: array}``.
            sparsity: Share of the groups to remove, in [0, 1).
            allocation: ``(scores, sparsity) -> masks``.
            left: Earlier masks, which only `TiedGroups` reads.
        """
        del left
        arranged = self._arranged(scores)
        return self._restored(self.pattern(arranged, sparsity, allocation))

    def removed(self, masks: Arrays) -> float:
        """Return the share of the weights that masks remove."""
        return sparsity_of(masks)

    def pool(self, values: Arrays) -> Arrays:
        """Return one value for each group: what the pattern passes to an allocation."""
        arranged = self._arranged(values)
        if self._pure is not None:
            return self._pure.group(arranged)
        seen = {}

        def look(groups: Arrays, sparsity: float) -> Arrays:
            del sparsity
            seen.update(groups)
            return {key: np.ones(group.shape, bool) for key, group in groups.items()}

        self.pattern(arranged, 0.0, look)
        return seen

    def spread(self, values: Arrays) -> Arrays:
        """Return for each weight the value of its group."""
        like = self._arranged(self.zeros())
        if self._pure is not None:
            shapes = {key: array.shape for key, array in like.items()}
            return self._restored(self._pure.expand(values, shapes))
        return self._restored(self.pattern(like, 0.0, lambda *_: values))

    @property
    def _pure(self) -> Pattern | None:
        """The pattern if it has its own `group`, so that no call need be observed."""
        if not isinstance(self.pattern, Pattern):
            return None
        return None if type(self.pattern).group is Pattern.group else self.pattern

    def _arranged(self, arrays: Arrays) -> Arrays:
        views = self._views.items()
        return arrays | {key: view.arrange(arrays[key]) for key, view in views}

    def _restored(self, arrays: Arrays) -> Arrays:
        views = self._views.items()
        restored = {k: v.restore(arrays[k], self.shapes[k]) for k, v in views}
        return arrays | restored if restored else arrays


class TiedGroups(Grouped):
    """A pattern whose groups are the dependency groups of a model.

    Args:
        pattern: ``(scores, sparsity, allocation) -> masks``.
        shapes: ``{key: shape}`` of the weights.
        dependencies: The groups.
        cost: ``{family: whether each group is kept} -> share of the cost that is
            left``. With it, a sparsity is the share of the cost to remove.
    """

    def __init__(
        self,
        pattern: PatternLike,
        shapes: Mapping[str, tuple[int, ...]],
        dependencies: Dependencies,
        cost: Callable[[Arrays], float] | None = None,
    ):
        super().__init__(pattern, shapes)
        self.dependencies, self.cost = dependencies, cost

    def masks(
        self,
        scores: Arrays,
        sparsity: float,
        allocation: AllocationLike,
        left: Arrays | None = None,
    ) -> Arrays:
        """Return the masks for scores of single weights.

        Args:
            scores: ``{key: array}``.
            sparsity: Share of the groups, or of their cost, to remove, in [0, 1).
            allocation: ``(scores, sparsity) -> masks``.
            left: ``{key: bool array}`` of earlier masks. What they removed from all
                groups of a family does not count. With a cost, groups that they
                removed stay removed, whatever other groups would cost.

        Raises:
            ValueError: If the groups that the pattern keeps cost more than is left.
        """
        arranged = self.dependencies.gather(scores, left)

        def kept(share: float) -> Arrays:
            masks = self.pattern(arranged, share, allocation)
            return {family: mask[0] != 0 for family, mask in masks.items()}

        if self.cost is None:
            return self.dependencies.masks(kept(sparsity), self.shapes)
        before = {} if left is None else self.dependencies.gather(left)

        def still_kept(share: float) -> Arrays:
            found = kept(share)
            return found | {k: found[k] & each.any(0) for k, each in before.items()}

        count = sum(self.dependencies.families.values())
        found = least_removed(still_kept, self.cost, 1 - sparsity, count)
        if found is None:
            least = self.cost(still_kept((count - 1) / count))
            raise ValueError(
                f"The groups that {self.pattern!r} has to keep cost at least a share "
                f"of {least:.4g}. Received: a budget of {1 - sparsity:.4g}. Use a "
                "larger one, a smaller `round_to` if it is above 1, or select more "
                "weights."
            )
        return self.dependencies.masks(found, self.shapes)

    def least(self) -> Arrays:
        """Return the groups that the pattern keeps of an allocation that keeps none."""

        def none(scores: Arrays, sparsity: float) -> Arrays:
            del sparsity
            return {key: np.zeros(each.shape, bool) for key, each in scores.items()}

        families = self.dependencies.families
        zeros = {name: np.zeros((1, count)) for name, count in families.items()}
        masks = self.pattern(zeros, 0.0, none)
        return {name: mask[0] != 0 for name, mask in masks.items()}

    def removed(self, masks: Arrays) -> float:
        """Return the share of the groups, or of their cost, that masks remove."""
        pooled = self.pool({k: np.asarray(m, np.float32) for k, m in masks.items()})
        kept = {family: values != 0 for family, values in pooled.items()}
        if self.cost is not None:
            return 1 - self.cost(kept)
        left = sum(int(np.count_nonzero(each)) for each in kept.values())
        return 1 - left / sum(each.size for each in kept.values())

    def spread(self, values: Arrays) -> Arrays:
        """Return for each weight the value of the group that it makes; 1 without."""
        return self.dependencies.spread(values, self.shapes)

    def _arranged(self, arrays: Arrays) -> Arrays:
        return self.dependencies.gather(arrays)


def sparsity_of(masks: Arrays) -> float:
    """Return the share of the weights that masks remove."""
    kept = sum(int(np.count_nonzero(mask)) for mask in masks.values())
    return 1.0 - kept / sum(mask.size for mask in masks.values())


def least_removed(
    kept: Callable[[float], Arrays],
    cost: Callable[[Arrays], float],
    limit: float,
    count: int,
) -> Arrays | None:
    """Return the masks that remove as few groups as a limit of their cost allows.

    Args:
        kept: ``(share of the groups to remove) -> masks``. A larger share removes what
            a smaller one does, and more.
        cost: ``masks -> cost``.
        limit: The highest cost that is allowed.
        count: Number of groups.

    Returns:
        The masks, or None if no share costs so little.
    """
    enough = limit * (1 + ROUNDING)

    def fits(number: int) -> bool:
        return cost(kept(number / count)) <= enough

    number = bisect.bisect_left(range(count), True, key=fits)
    return kept(number / count) if number < count else None
