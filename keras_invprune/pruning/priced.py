"""What the dependency groups of a model cost, and what a budget leaves of them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_invprune.allocation import Budget
from keras_invprune.contracts import AllocationLike, Arrays, PatternLike
from keras_invprune.graph.groups import Dependencies
from keras_invprune.graph.weights import Weight, shapes_of
from keras_invprune.masks.groups import ROUNDING, TiedGroups
from keras_invprune.patterns import Units
from keras_invprune.pruning.timed import cut, largest
from keras_invprune.runtimes import Cost


@dataclass(frozen=True)
class Priced:
    """What a budget counts in the groups of a model.

    Attributes:
        budget: What may be left of the cost.
        dependencies: The groups.
        weights: The result of `weights_by_key(model)`.
        cost_of_shapes: ``{key: shape of the weight} -> cost``.
    """

    budget: Budget
    dependencies: Dependencies
    weights: Mapping[str, Weight]
    cost_of_shapes: Cost

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight."""
        return shapes_of(self.weights)

    @functools.cached_property
    def dense(self) -> float:
        """The cost of all groups, in the budget's unit."""
        return self.cost_of_shapes(self.shapes)

    def share(self, kept: Arrays) -> float:
        """Return the share of the cost that groups leave.

        Args:
            kept: ``{family: whether each group is kept}``.
        """
        left = self.dependencies.shapes(kept, self.shapes)
        return self.cost_of_shapes(left) / self.dense

    def allowed(
        self, model: keras.Model, pattern: PatternLike, allocation: AllocationLike
    ) -> float:
        """Return the share of the cost that may be left.

        For milliseconds, files are timed, and the share is that of the largest network
        whose file meets the budget.

        Args:
            model: The plain model.
            pattern: What groups are removed by.
            allocation: What chooses among the groups.

        Raises:
            ValueError: If the budget cannot be met.
        """
        keys = (*self.dependencies.makers, *self.dependencies.readers)
        shapes = {key: self.shapes[key] for key in keys}
        groups = TiedGroups(pattern, shapes, self.dependencies, self.share)
        share, left = self.budget.share(self.dense), self.share(groups.least())
        where = "when all removable groups are removed"
        if self.budget.milliseconds is not None and share < 1:
            found, time = self._timed(model, groups, allocation, left)
            share, left = found or share, time / self.dense
            where = "in the fastest file that was timed"
        if left > self.budget.share(self.dense) * (1 + ROUNDING):
            raise ValueError(self._refusal(model.name, groups, left, where))
        return share

    def _timed(
        self,
        model: keras.Model,
        groups: TiedGroups,
        allocation: AllocationLike,
        least: float,
    ) -> tuple[float | None, float]:
        """Return the share of the cost whose file meets the budget, and its time.

        The scores of a training are not known yet. Those of the magnitude lead to the
        same widths if the allocation gives each family a share.
        """
        variables = {key: self.weights[key].variable for key in groups.shapes}
        scores = {key: np.abs(value.numpy()) for key, value in variables.items()}

        def candidate(share: float) -> tuple[float, Arrays]:
            masks = groups.masks(scores, 1 - share, allocation)
            return 1 - groups.removed(masks), masks

        def time(masks: Arrays) -> float:
            return self.budget.measure(cut(model, masks))

        limit = self.budget.share(self.dense) * self.dense
        return largest(candidate, time, limit, self.dense, least)

    def _refusal(self, name: str, groups: TiedGroups, left: float, where: str) -> str:
        """Return why the budget cannot be met."""
        allowed, pattern = self.budget.share(self.dense), groups.pattern
        cause, way_out = "", "Use a larger budget, or select more weights"
        families = self.dependencies.families.items()
        alone = self.share(
            {family: np.zeros(count, bool) for family, count in families}
        )
        rounding = alone <= allowed * (1 + ROUNDING) < self.share(groups.least())
        if rounding and isinstance(pattern, Units):
            cause = (
                f": {pattern!r} keeps multiples of {pattern.round_to}, and without "
                f"rounding {alone * self.dense:.5g} would be left"
            )
            way_out = "Use a smaller `round_to`, or a larger budget"
        return (
            f"The budget cannot be met: it allows {allowed * self.dense:.5g} "
            f"{self.budget.unit}, and {name!r} has {left * self.dense:.5g} "
            f"{where}{cause}. Received: {self.budget!r}. {way_out}."
        )
