"""What each choice of a method may define, and the defaults of its optional members.

A choice is one of our objects or any callable. Code that needs an optional member
writes ``Score.of(choice).rounds``. ``Score.of`` returns the choice itself if it is a
`Score`; otherwise, it returns the members below that the choice has, and the defaults
of the others. Nothing else about a choice is looked up by name, except the final
sparsity of a schedule, since TF-MOT's schedules name it in their own ways.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, cast, runtime_checkable

import keras
import numpy as np

from keras_invprune.saving import Configured

Arrays = dict[str, np.ndarray]
"""``{key of a weight: array of its shape}``."""
Located = tuple[keras.Layer, keras.Variable]
"""``(layer, variable)``: a weight of Keras with the layer that owns it."""
Tensor = Any
"""A tensor of TensorFlow, or an array."""
Nested = Any
"""A tensor or array, or lists, tuples and dictionaries of them."""
Due = tuple[Any, Any]
"""Whether to prune, and the sparsity: a bool and a float, or an array of each."""
ScoreLike = Callable[[Arrays, keras.Model], Arrays]
"""A `Score`, or a callable ``(weights, model) -> {key: array}``."""
AllocationLike = Callable[[Arrays, float], Arrays]
"""An `Allocation`, or a callable ``(scores, sparsity) -> masks``."""
PatternLike = Callable[[Arrays, float, AllocationLike], Arrays]
"""A `Pattern`, or a callable ``(scores, sparsity, allocation) -> masks``."""
ScheduleLike = Callable[[int], Due]
"""A `Schedule`, or a callable ``(step) -> (should_prune, sparsity)``."""
ObjectiveLike = Callable[[keras.Model, Nested, Nested, Nested], tuple]
"""An `Objective`, or a callable ``(model, x, y, sample_weight)``.

It returns (loss, predictions), or `keras_invprune.objectives.Losses`.
"""
EffectiveLike = Callable[..., Tensor]
"""An `Effective`, or a callable ``(weight, mask, *own) -> weight``."""
RoundingLike = Callable[[Tensor, tuple[int, ...]], Tensor]
"""A `Rounding`, or a callable ``(weight, axes) -> weight``."""
ViewLike = Callable[[Nested], Nested]
"""A `View`, or a callable ``(inputs) -> inputs``."""
Views = ViewLike | Sequence[ViewLike | None]
"""A view, or a pair of views, of which None is the input itself."""
Embedder = Callable[..., tuple[Nested, Tensor]]
"""A function ``(inputs, training) -> (outputs, embedding)`` of one pass."""


class Contract:
    """Optional members with their defaults."""

    @classmethod
    def of(cls, choice: object) -> Self:
        """Return the choice itself, or the members that a plain callable has."""
        if isinstance(choice, cls):
            return choice
        members = cls.__new__(cls)
        names = [name for name in vars(cls) if not name.startswith("_")]
        found = {name: getattr(choice, name) for name in names if hasattr(choice, name)}
        vars(members).update(cls._unknown() | found)
        return members

    @classmethod
    def _unknown(cls) -> dict[str, Any]:
        """Return the defaults of plain callables that differ from the class's."""
        return {}


def tells(**members: Any) -> Callable:
    """Return a decorator that gives a plain function members of its contract."""

    def add(function: Callable) -> Callable:
        vars(function).update(members)
        return function

    return add


@dataclasses.dataclass(frozen=True)
class ScoreContext:
    """What a score may ask about the network whose weights it ranks.

    Attributes:
        network: The Keras model whose weights are ranked.
        variables: ``{key: variable}`` of the weights to prune.
        masks: ``{key: variable of 0 and 1}``, the present masks.
        groups: The groups of weights that the pattern keeps or removes together.
        layouts: ``{key: Layout}``, which axes of a weight are inputs and outputs
            (`keras_invprune.graph.layouts`); without those that have none.
        step: Number of training steps so far.
        moving: Whether the target sparsity is reached, so that the masks only move.
        decay: Factor in [0, 1] by which to multiply the share of connections to move.
        examples: ``(x, y, sample_weight)`` that `fit` drew for this score, or None.
        learned: ``{key: variables}`` that the score's effective weight has created.
        loss: ``(values, batch) -> scalar``, the compiled loss in evaluation mode. It
            uses ``values = {key: tensor}`` instead of the weights, and a batch
            ``(x, y, sample_weight)``.
    """

    network: keras.Model
    variables: Mapping[str, keras.Variable]
    masks: Mapping[str, keras.Variable]
    groups: Groups
    layouts: Mapping[str, AsMatrices]
    step: int
    moving: bool
    decay: float
    examples: tuple | None
    learned: Mapping[str, tuple]
    loss: Callable[[Mapping[str, Tensor], tuple], Tensor]


class AsMatrices(Protocol):
    """How a weight is a stack of matrices: `keras_invprune.graph.layouts.Layout`."""

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """Return the array as [*positions, inputs, outputs]."""

    def restore(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return an arranged array in the shape of the weight, undoing `arrange`."""


class Groups(Protocol):
    """The weights of a model, in the groups of a pattern."""

    @property
    def allocates(self) -> bool:
        """Whether the allocation influences the masks."""

    def pool(self, values: Arrays) -> Arrays:
        """Return one value for each group."""

    def spread(self, masks: Arrays) -> Arrays:
        """Return for each weight the value of its group."""


class Masking(Protocol):
    """A layer that reads weights through masks: `Masked`.

    Attributes:
        layouts: ``{key: Layout}`` of the masked weights that have one.
        shared: What ``Effective.share`` made for it.
    """

    layouts: Mapping[str, AsMatrices]
    shared: tuple


@runtime_checkable
class Ranked(Protocol):
    """A model whose weights can be ranked: `PrunedModel`.

    Attributes:
        masked: The layer that reads its weights through the masks.
    """

    masked: Masking

    @property
    def inner(self) -> keras.Model:
        """The plain model inside."""

    @property
    def masks(self) -> Mapping[str, keras.Variable]:
        """``{key: variable of 0 and 1}``, by the keys of the plain model."""

    def score_context(self) -> ScoreContext:
        """Return what a score may ask about the model."""


def unwrapped(model: object) -> tuple[Any, Mapping[str, keras.Variable]]:
    """Return the plain model and its masks; of a plain model, itself and none."""
    return (model.inner, model.masks) if isinstance(model, Ranked) else (model, {})


class _NoContext:
    """Replaces the context of a model that is not a Keras 3 model."""

    def __init__(self, model: object):
        self._kind = type(model).__name__

    def __getattr__(self, name: str) -> Any:
        raise TypeError(
            "This score needs the network, and only a Keras 3 model provides it. "
            f"Received: {self._kind}. Use 'magnitude', 'random' or your own callable."
        )


def context_of(model: object) -> ScoreContext:
    """Return what a score may ask; its use raises TypeError if that is nothing."""
    if isinstance(model, ScoreContext):
        return model
    if isinstance(model, Ranked):
        return model.score_context()
    return cast(ScoreContext, _NoContext(model))


class Effective(Contract):
    """What layers read during training instead of w * mask.

    A callable ``(weight, mask, *own) -> weight`` of the same shape. `own` is what
    `build` returned for this weight, and then what `share` returned.

    Attributes:
        slow_in_xla: Whether XLA makes it slower, as it does random numbers on a CPU.
    """

    slow_in_xla: bool = False

    def share(self, layer: keras.Layer) -> tuple:
        """Create what all weights have in common; it becomes ``layer.shared``."""
        del layer
        return ()

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable) -> tuple:
        """Create more weights by ``layer.add_weight``, for one weight of the layer."""
        del layer, name, variable
        return ()

    penalty: Callable[..., Tensor] | None = None
    """``(weight, mask, *own) -> scalar``, a term to add to the loss."""

    def anneal(self, layer: Masking, progress: float) -> None:
        """Adapt to the progress towards the target sparsity, from 0 to 1."""


class Rounding(Contract):
    """What layers read instead of a kernel, whether it is masked or not.

    A callable ``(weight, axes) -> weight`` of the same shape. `axes` are those over
    which an output channel of the kernel extends.
    """

    def rounds(self, layer: keras.Layer, variable: keras.Variable) -> bool:
        """Return whether a kernel is read through it."""
        del layer, variable
        return True


class Score(Configured, Contract):
    """How much each weight matters: low scores are pruned first.

    Subclasses implement `rank`. These members say what they need:

    Attributes:
        examples: Number of training examples that `fit` draws, or the examples.
        rounds: Number of rounds in which to reach a sparsity. Each round divides the
            density by the same factor and computes the scores again.
        rewires: Whether it moves connections, so that the schedule must keep updating
            the masks. None: unknown.
        updates: "one" or "several" if the schedule must update the masks that often.
        learns: Whether its scores mean nothing before the first training step.
        effective: What layers read during training instead of w * mask: under
            `Rewire` always, otherwise until the target sparsity is reached.
        grid: What layers read kernels through, after the masks, in training and in
            evaluation (`Rounding`), or None. `strip_pruning` stores what it returns.
        suits: The choices of `prune` that it is meant for, used in comparisons:
            ``schedule``, ``allocation``.
    """

    examples: int | tuple | None = None
    rounds: int = 1
    rewires: bool | None = False
    updates: Literal["one", "several"] | None = None
    learns: bool = False
    effective: EffectiveLike | None = None
    grid: RoundingLike | None = None
    suits: Mapping[str, str] = {}

    def __call__(self, weights: Arrays, model: object) -> Arrays:
        """Rank the weights of a `PrunedModel`.

        Args:
            weights: ``{key: array}`` of the stored weights, zero where pruned. There
                are two exceptions. Under TF-MOT's schedules, as in TF-MOT, they
                include what momentum has added since the end of the last epoch. With
                `effective`, pruned weights keep their values, since they may return.
            model: The `PrunedModel`, or a `ScoreContext`.

        Returns:
            ``{key: array}`` of the weights' shapes.

        Raises:
            TypeError: If `rank` needs the network and it is not a Keras 3 model.
        """
        return self.rank(weights, context_of(model))

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}`` of the weights' shapes; low ones are pruned first."""
        raise NotImplementedError(f"{type(self).__name__} must implement `rank`.")

    @classmethod
    def _unknown(cls) -> dict[str, Any]:
        return {"rewires": None}


class Allocation(Contract):
    """Where the sparsity goes: ``(scores, sparsity) -> masks``, both by key.

    Attributes:
        shuffles: The allocation whose masks a sanity check changes, or None.
    """

    shuffles: AllocationLike | None = None

    def check(self, sizes: Mapping[str, int], sparsity: float) -> None:
        """Raise ValueError if it does not suit the ``{key: number of weights}``."""

    def check_weights(self, weights: Mapping[str, Located]) -> None:
        """Raise ValueError if it cannot read the weights that `prune` is to rank.

        Args:
            weights: ``{key: (layer, variable)}``, those that it gets with all their
                axes. A pattern that scores whole units passes a row of numbers instead.
        """

    def even(self, sparsity: float) -> bool:
        """Return whether it may remove the same share of each weight."""
        del sparsity
        return True


class Pattern(Contract):
    """Which weights are pruned together: ``(scores, sparsity, allocation) -> masks``.

    Subclasses implement `group` and `expand`, which depend only on their arguments. A
    pattern that keeps some weights of each group, and no group as a whole, has no use
    for an allocation: it implements `__call__` instead, as `NByM` does.

    Attributes:
        on_matrices: Whether it sees each weight as a stack of matrices [inputs,
            outputs] (`keras_invprune.graph.layouts`), whatever its layer.
        tied: Whether it removes units that other layers share, so that its groups
            are the dependency groups of the model (`keras_invprune.graph.groups`).
            `group` then gets, for each family of groups, an array [values, groups].
        target_sparsity: The only final sparsity that it allows, or None.
        allocates: Whether the allocation influences the masks.
        default_allocation: The allocation if `prune` is given none: a name that
            `keras_invprune.allocation` lists, or a callable.
    """

    on_matrices: bool = False
    tied: bool = False
    target_sparsity: float | None = None
    allocates: bool = True
    default_allocation: str | AllocationLike = "global"

    def unfit(self, shape: tuple[int, ...]) -> str | None:
        """Return why weights of this shape are left out, or None if they fit."""
        del shape
        return None

    def group(self, scores: Arrays) -> Arrays:
        """Return one score for each group, by key."""
        raise NotImplementedError(f"{type(self).__name__} must implement `group`.")

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return for each weight the value of its group."""
        raise NotImplementedError(f"{type(self).__name__} must implement `expand`.")

    def __call__(
        self,
        scores: Arrays,
        sparsity: float,
        allocation: AllocationLike,
    ) -> Arrays:
        """Return masks that keep or remove whole groups, as the allocation decides."""
        masks = allocation(self.group(scores), sparsity)
        return self.expand(masks, {key: np.shape(v) for key, v in scores.items()})


class Schedule(Contract):
    """When to prune, and how much: ``(step) -> (should_prune, sparsity)``.

    Attributes:
        by_hand: Whether the user calls ``model.prune_to``.
        rewires: Whether it also updates the masks at the target sparsity.
        once: Whether it prunes once in all. None: unknown.
        at_init: Whether it prunes once, before the first step.
        every: Number of steps between two updates.
        monitor: Name of the log that it watches, or None.
        schedule: Another schedule that it delays, or None.
    """

    by_hand: bool = False
    rewires: bool = False
    once: bool | None = None
    at_init: bool = False
    every: int = 1
    monitor: str | None = None
    schedule: ScheduleLike | None = None

    def start(self, step: int, steps: int | None) -> None:
        """Prepare for a training that begins after `step` and lasts `steps`.

        Args:
            step: Number of steps made so far.
            steps: Number of steps to come. It is None if unknown; the method is then
                called again after the first epoch, which shows the number.
        """

    def observe(self, step: int, logs: dict[str, float]) -> None:
        """Take note of the logs of an epoch that has ended after `step`."""

    def decay(self, step: int) -> float:
        """Return the factor by which to multiply the share of connections to move."""
        del step
        return 1.0

    def state(self) -> dict[str, float]:
        """Return what it has learned, to be saved with the model."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Restore what `state` returned."""


class Objective(Contract):
    """The loss of the search: ``(model, x, y, sample_weight) -> Losses``.

    Attributes:
        terms: Names of the values that it logs.
        layers: Keras layers that belong to it. They are trained and saved with the
            model, and `strip_pruning` drops them.
        compiles: Whether XLA can compile it.
        embed: What ``model(inputs, with_embedding=True)`` calls, or None.
    """

    terms: tuple[str, ...] = ()
    layers: Sequence[keras.Layer] = ()
    compiles: bool = True
    embed: Embedder | None = None
    bind: Callable[[keras.Model], ObjectiveLike] | None = None
    """``(model) -> objective``: called once with the plain Keras model, to check it and
    to prepare. It returns an objective for this model only."""


class View(Contract):
    """A random version of the input.

    Attributes:
        rank: Rank of the input that it expects, or None.
        moves: Whether it moves objects to other positions in the image.
        layers: The views that it consists of.
        name: Its name in messages.
    """

    rank: int | None = None
    moves: bool = False
    layers: Sequence[ViewLike] = ()
    name: str = ""


class PruningWrapper:
    """A model that reads its weights through masks: `Masked`, `PrunedModel`."""
