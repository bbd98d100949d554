"""The weights of a model in the groups that a pattern keeps or removes together."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_invprune.contracts import Arrays, Pattern
from keras_invprune.graph.layouts import Layout


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
        pattern: Any,
        shapes: Mapping[str, tuple[int, ...]],
        layouts: Mapping[str, Layout] | None = None,
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
        allocation: Callable[[Arrays, float], Arrays],
    ) -> Arrays:
        """Return the masks for scores of single weights."""
        return self._restored(
            self.pattern(self._arranged(scores), sparsity, allocation)
        )

    def pool(self, values: Arrays) -> Arrays:
        """Return one value for each group: what the pattern passes to an allocation."""
        arranged = self._arranged(values)
        if self._is_pure:
            return self.pattern.group(arranged)
        seen = {}

        def look(groups, sparsity):
            del sparsity
            seen.update(groups)
            return {key: np.ones(group.shape, bool) for key, group in groups.items()}

        self.pattern(arranged, 0.0, look)
        return seen

    def spread(self, values: Arrays) -> Arrays:
        """Return for each weight the value of its group."""
        like = self._arranged(self.zeros())
        if self._is_pure:
            shapes = {key: array.shape for key, array in like.items()}
            return self._restored(self.pattern.expand(values, shapes))
        return self._restored(self.pattern(like, 0.0, lambda *_: values))

    @property
    def _is_pure(self) -> bool:
        """Whether the pattern has its own `group`, so that no call need be observed."""
        known = isinstance(self.pattern, Pattern)
        return known and type(self.pattern).group is not Pattern.group

    def _arranged(self, arrays):
        views = self._views.items()
        return arrays | {key: view.arrange(arrays[key]) for key, view in views}

    def _restored(self, arrays):
        views = self._views.items()
        restored = {k: v.restore(arrays[k], self.shapes[k]) for k, v in views}
        return arrays | restored if restored else arrays
