"""The choices that make a pruning method, in one object."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

import keras

from keras_invprune import allocation as allocations
from keras_invprune import objectives, patterns, schedules, scores
from keras_invprune.allocation import Budget
from keras_invprune.compaction.dependencies import dependencies
from keras_invprune.contracts import (
    AllocationLike,
    Arrays,
    AsMatrices,
    EffectiveLike,
    ObjectiveLike,
    Pattern,
    PatternLike,
    Ranked,
    RoundingLike,
    Schedule,
    ScheduleLike,
    Score,
    ScoreLike,
)
from keras_invprune.graph.active import calls_its_graph
from keras_invprune.graph.groups import Dependencies
from keras_invprune.graph.weights import Weight, is_graph
from keras_invprune.masks.compute import make_masks
from keras_invprune.masks.groups import Grouped, TiedGroups
from keras_invprune.pruning.priced import Priced
from keras_invprune.pruning.rewind import check_rewind
from keras_invprune.runtimes import Cost
from keras_invprune.saving import Missing, load_object, save_object

PARTS = ("objective", "score", "allocation", "pattern")


@dataclass
class Plan:
    """What to prune by, how much, and when: see `prune`. `of` makes one from names.

    Attributes:
        sparsity: Target share of zero weights, in [0, 1). With a budget, the share of
            the cost to remove.
        objective: Loss of the search, or None for the compiled loss only.
        score: ``(weights, model) -> {key: array}``.
        allocation: ``(scores, sparsity) -> masks``.
        pattern: ``(scores, sparsity, allocation) -> masks``.
        schedule: ``(step) -> (should_prune, sparsity)``.
        rewind: The point that surviving weights return to, or None.
        initial_scale: κ, which the weights in `scaled` have been multiplied by.
        scaled: Keys of those weights.
        left_out: ``{key: reason}`` of selected weights that the pattern does not fit.
        readers: Keys of weights that are masked only because they read removed units.
        budget: What may be left of the cost, or None.
        cost_of_shapes: ``{key: shape of the weight} -> cost``, or None. It is saved, so
            that a resumed training counts and measures nothing again.
        dependencies: The dependency groups of the model, if the pattern removes such.
        cost: ``{family: whether each group is kept} -> share of the cost``, or None.
    """

    sparsity: float
    objective: ObjectiveLike | None
    score: ScoreLike
    allocation: AllocationLike
    pattern: PatternLike
    schedule: ScheduleLike
    rewind: str | None = None
    initial_scale: float = 1.0
    scaled: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    readers: tuple[str, ...] = ()
    budget: Budget | None = None
    cost_of_shapes: Cost | None = field(default=None, repr=False)
    dependencies: Dependencies | None = field(default=None, repr=False)
    cost: Callable[[Arrays], float] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        sparsity: float,
        *,
        objective: str | ObjectiveLike | None = None,
        score: str | ScoreLike = "magnitude",
        allocation: str | dict | AllocationLike | None = None,
        pattern: str | dict | PatternLike | None = None,
        schedule: str | ScheduleLike = "one_shot",
        **fields: Any,
    ) -> Self:
        """Return the plan of these choices, each of which may be a name.

        Args:
            sparsity: As the field.
            objective: As the field, or a name.
            score: As the field, or a name.
            allocation: As the field, a name, or ``{key: sparsity}``; None for that of
                the pattern.
            pattern: As the field, a name or a config; None for single weights.
            schedule: As the field, or a name.
            **fields: The other fields.

        Raises:
            ValueError: If a choice is unknown, or if two disagree.
            TypeError: If a choice is neither a name nor a callable.
        """
        sparsity = schedules.check_sparsity(sparsity)
        loss, ranking = objectives.get(objective), scores.get(score)
        grouping = patterns.get(pattern)
        if allocation is None:
            allocation = Pattern.of(grouping).default_allocation
        return cls(
            sparsity,
            loss,
            ranking,
            allocations.get(allocation),
            grouping,
            schedules.get(schedule, sparsity),
            **fields,
        )

    def __post_init__(self) -> None:
        """Raise if the rewind point is unknown, or a pattern has another sparsity."""
        self.rewind = check_rewind(self.rewind)
        fixed = Pattern.of(self.pattern).target_sparsity
        if fixed is not None and abs(fixed - self.sparsity) > 1e-6:
            raise ValueError(
                f"{self.pattern!r} always removes a share of {fixed:.4g}. "
                f"Received: sparsity={self.sparsity}. Pass sparsity={fixed:.8g}."
            )

    @property
    def effective(self) -> EffectiveLike | None:
        """What training reads instead of w * mask, or None."""
        return Score.of(self.score).effective

    @property
    def grid(self) -> RoundingLike | None:
        """What all kernels are read through, or None."""
        return Score.of(self.score).grid

    @property
    def rewires(self) -> bool:
        """Whether masks are still renewed at the target sparsity."""
        return Schedule.of(self.schedule).rewires

    @property
    def moves(self) -> bool:
        """Whether masked weights may return because the masks move."""
        return self.rewires or bool(Score.of(self.score).rewires)

    def bind(
        self,
        model: keras.Model,
        weights: Mapping[str, Weight],
        selected: Collection[str],
        maskable: Collection[str],
    ) -> None:
        """Find the dependency groups of a model, if the pattern removes such.

        Args:
            model: The plain model.
            weights: The result of `weights_by_key(model)`.
            selected: Keys of the weights to prune.
            maskable: Keys of all weights that may be masked.

        Raises:
            ValueError: If there is a budget and the model has no such groups.
        """
        if Pattern.of(self.pattern).tied and self.untied(model) is None:
            self.dependencies = dependencies(model, weights, selected, maskable)
            self.readers = self.dependencies.readers
        elif self.budget is not None:
            raise ValueError(
                f"A budget counts tied units, and {self.untied(model)}. Received: "
                f"{self.budget!r}. Pass a share, or choose another score and schedule."
            )

    def price(self, model: keras.Model, weights: Mapping[str, Weight]) -> Priced:
        """Return the groups with what the budget counts in them.

        Milliseconds are measured, unless the plan was saved with their table. Call
        `bind` first.

        Args:
            model: The plain model.
            weights: The result of `weights_by_key(model)`.
        """
        budget = cast(Budget, self.budget)
        groups = cast(Dependencies, self.dependencies)
        if self.cost_of_shapes is None:
            self.cost_of_shapes = budget.cost(model)
        priced = Priced(budget, groups, weights, self.cost_of_shapes)
        self.cost = priced.share
        return priced

    def meet(
        self,
        model: keras.Model,
        weights: Mapping[str, Weight],
        schedule: str | ScheduleLike,
    ) -> None:
        """Set the target sparsity to what the budget leaves of the cost.

        Milliseconds are those of files, which are timed here and never again.

        Args:
            model: The plain model.
            weights: The result of `weights_by_key(model)`.
            schedule: A name, or a schedule that ends at this sparsity.

        Raises:
            ValueError: If the budget cannot be met, or if the schedule ends at another
                sparsity.
        """
        priced = self.price(model, weights)
        self.sparsity = 1 - priced.allowed(model, self.pattern, self.allocation)
        self.schedule = schedules.get(schedule, self.sparsity)

    def untied(self, model: keras.Model) -> str | None:
        """Return why a pattern cannot follow units through a model, or None."""
        if not (is_graph(model) and calls_its_graph(model)):
            return f"{model.name!r} is not a Sequential or Functional model"
        if self.moves:
            return "units that are removed on both sides get no gradients to return"
        return None

    def groups(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        layouts: Mapping[str, AsMatrices] | None = None,
    ) -> Grouped:
        """Return the groups of the pattern; for the arguments, see `Grouped`."""
        if self.dependencies is not None:
            return TiedGroups(self.pattern, shapes, self.dependencies, self.cost)
        return Grouped(self.pattern, shapes, layouts)

    def masks(
        self,
        weights: Arrays,
        model: keras.Model,
        sparsity: float,
        left: Arrays | None = None,
    ) -> Arrays:
        """Return the masks for stored weights: see `make_masks`."""
        shapes = {key: weight.shape for key, weight in weights.items()}
        layouts = model.masked.layouts if isinstance(model, Ranked) else None
        return make_masks(
            weights,
            lambda weights: self.score(weights, model),
            self.allocation,
            self.groups(shapes, layouts),
            sparsity,
            left,
            Score.of(self.score).rounds,
        )

    def save(self) -> dict:
        """Return the config; objects that cannot be saved are saved by name."""
        return {
            "sparsity": self.sparsity,
            "rewind": self.rewind,
            "initial_scale": self.initial_scale,
            "scaled": list(self.scaled),
            "left_out": self.left_out,
            "readers": list(self.readers),
            "budget": self.budget and keras.saving.serialize_keras_object(self.budget),
            "cost_of_shapes": self.cost_of_shapes
            and save_object(self.cost_of_shapes, "plan.cost_of_shapes"),
            "schedule": schedules.save_schedule(self.schedule),
            "effective": save_object(self.effective, "plan.score"),
            "grid": save_object(self.grid, "plan.score"),
            **{
                name: save_object(getattr(self, name), f"plan.{name}") for name in PARTS
            },
        }

    @classmethod
    def load(cls, config: dict[str, Any]) -> Self:
        """Return the saved plan; objects that are not found raise when used."""
        loaded = {name: load_object(config[name], f"plan.{name}") for name in PARTS}
        schedule = schedules.load_schedule(config["schedule"])
        config = dict(config)
        if config.get("budget"):
            budget = keras.saving.deserialize_keras_object(config["budget"])
            config["budget"] = budget
        if config.get("cost_of_shapes"):
            cost = load_object(config["cost_of_shapes"], "plan.cost_of_shapes")
            config["cost_of_shapes"] = None if isinstance(cost, Missing) else cost
        effective = config.pop("effective", None)
        if effective and Score.of(loaded["score"]).effective is None:
            # A score is missing. The file has its weights and must load all the same.
            loaded["score"].effective = load_object(effective, "plan.score")
        grid = config.pop("grid", None)
        if grid and Score.of(loaded["score"]).grid is None:
            loaded["score"].grid = load_object(grid, "plan.score")
        return cls.of(**{**config, **loaded, "schedule": schedule})
