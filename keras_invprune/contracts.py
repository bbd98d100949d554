"""What each choice of a method is asked for, with the default of all that is optional.

A choice is an object of ours or any callable. Where code needs an optional member it
writes ``Score.of(choice).rounds``: the choice itself if it is a `Score`, else what it
has of the members below, and the defaults for the rest. Nothing else about a choice is
looked up by name, but for the final sparsity of a schedule, for which TF-MOT has names
of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from keras_invprune.saving import Configured

Arrays = dict[str, np.ndarray]
"""``{key of a weight: array of its shape}``."""
Tensor = Any
"""A tensor of TensorFlow, or an array."""
Nested = Any
"""Tensors or arrays, one or in lists, tuples and dictionaries."""


class Contract:
    """Optional members with their defaults."""

    @classmethod
    def of(cls, choice: object) -> Self:
        """Returns the choice itself, or the members of a plain callable."""
        if isinstance(choice, cls):
            return choice
        members = cls.__new__(cls)
        names = [name for name in vars(cls) if not name.startswith("_")]
        found = {name: getattr(choice, name) for name in names if hasattr(choice, name)}
        vars(members).update(cls._unknown() | found)
        return members

    @classmethod
    def _unknown(cls) -> dict[str, Any]:
        """Defaults of plain callables, where they are not those of the class."""
        return {}


def tells(**members: Any) -> Callable:
    """Decorates a plain function with members of its contract."""

    def add(function):
        vars(function).update(members)
        return function

    return add


@dataclasses.dataclass(frozen=True)
class ScoreContext:
    """All that a score may ask about the network that it ranks.

    Attributes:
        network: The Keras model whose weights are ranked.
        variables: ``{key: variable}`` of the weights to prune.
        masks: ``{key: variable of 0 and 1}``, the present masks.
        groups: What the pattern keeps or removes as a whole.
        step: Number of training steps made.
        moving: Whether the target sparsity is reached, so that masks only move.
        decay: Factor in [0, 1] of the share of connections to move now.
        examples: ``(x, y, sample_weight)`` that `fit` drew for this score, or None.
        learned: ``{key: variables}`` that the score's effective weight has made.
        loss: ``(values, batch) -> scalar``, the compiled loss in evaluation mode with
            ``values = {key: tensor}`` in the place of the weights, for a batch
            ``(x, y, sample_weight)``.
    """

    network: Any
    variables: Mapping[str, Any]
    masks: Mapping[str, Any]
    groups: Groups
    step: int
    moving: bool
    decay: float
    examples: tuple | None
    learned: Mapping[str, tuple]
    loss: Callable[[Mapping[str, Any], tuple], Any]


class Groups(Protocol):
    """The weights of a model in the groups of a pattern."""

    @property
    def allocates(self) -> bool:
        """Whether an allocation has a say in the masks."""

    def pool(self, values: Arrays) -> Arrays:
        """One value for each group."""

    def spread(self, masks: Arrays) -> Arrays:
        """The value of its group for each weight."""


@runtime_checkable
class Ranked(Protocol):
    """A model whose weights are ranked: `PrunedModel`."""

    masked: Any

    def score_context(self) -> ScoreContext:
        """What a score may ask."""


class _NoContext:
    """Stands for the context where there is no Keras 3 network."""

    def __init__(self, model: object):
        self._kind = type(model).__name__

    def __getattr__(self, name):
        raise TypeError(
            "This score looks into the network, which is done for Keras 3 models only. "
            f"Received: {self._kind}. Use 'magnitude', 'random' or your own callable."
        )


def context_of(model: object) -> Any:
    """What a score may ask about a model; raises TypeError on use if nothing."""
    if isinstance(model, ScoreContext):
        return model
    return model.score_context() if isinstance(model, Ranked) else _NoContext(model)


class Effective(Contract):
    """What layers read in training in the place of w * mask.

    A callable ``(weight, mask, *own) -> weight`` of the same shape.
    """

    def build(self, layer: Any, name: str, variable: Any) -> tuple:
        """Makes further weights with ``layer.add_weight``; they are passed as `own`."""
        del layer, name, variable
        return ()

    penalty: Callable[..., Any] | None = None
    """``(weight, mask, *own) -> scalar``, which is added to the loss."""

    def anneal(self, layer: Any, progress: float) -> None:
        """Told how far it is, from 0 to 1, on the way to the target sparsity."""


class Score(Configured, Contract):
    """How much each weight matters: low scores are pruned first.

    Subclasses implement `rank`, and say by these members what they need:

    Attributes:
        examples: How many training examples `fit` is to draw, or the examples.
        rounds: Rounds in which to come down to the sparsity asked for, the density by
            the same factor in each; the score is asked again in each.
        rewires: Whether it moves connections, for which the schedule must ask again.
            None: unknown.
        updates: "one" or "several", where the schedule must renew the masks so often.
        learns: Whether it says nothing before the first training step.
        effective: What layers read in training in the place of w * mask, until the
            target sparsity is reached, under `Rewire` throughout.
        suits: Choices of `prune` that it is meant for, for comparisons: ``schedule``,
            ``allocation``.
    """

    examples: int | tuple | None = None
    rounds: int = 1
    rewires: bool | None = False
    updates: Literal["one", "several"] | None = None
    learns: bool = False
    effective: Any = None
    suits: Mapping[str, str] = {}

    def __call__(self, weights: Arrays, model: object) -> Arrays:
        """Ranks the weights of a `PrunedModel`.

        Args:
            weights: ``{key: array}`` of the stored weights: zero where pruned; under
                TF-MOT's schedules, as in TF-MOT, with what momentum has added since
                the last epoch's end; with `effective`, what may come back.
            model: The `PrunedModel`, or a `ScoreContext`.

        Returns:
            ``{key: array}`` of the weights' shapes.

        Raises:
            TypeError: If `rank` looks into a network that is not a Keras 3 model.
        """
        return self.rank(weights, context_of(model))

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Returns ``{key: array}`` of the weights' shapes; low goes first."""
        raise NotImplementedError(f"{type(self).__name__} must implement `rank`.")

    @classmethod
    def _unknown(cls):
        return {"rewires": None}


class Allocation(Contract):
    """Where the sparsity goes: ``(scores, sparsity) -> masks``, both by key.

    Attributes:
        shuffles: The allocation whose masks a sanity check changes, or None.
    """

    shuffles: Callable | None = None

    def check(self, sizes: Mapping[str, int], sparsity: float) -> None:
        """Raises ValueError if it does not suit the ``{key: number of weights}``."""

    def even(self, sparsity: float) -> bool:
        """Whether a pattern that removes the same share everywhere contradicts it."""
        del sparsity
        return True


class Pattern(Contract):
    """Which weights are pruned together: ``(scores, sparsity, allocation) -> masks``.

    Subclasses implement `group` and `expand`, which depend on nothing but their
    arguments.

    Attributes:
        on_matrices: Whether it is to see each weight as a stack of matrices of
            inputs times outputs (`keras_invprune.graph.layouts`), whatever its layer.
        target_sparsity: The only sparsity that it ends at, or None.
        allocates: Whether an allocation has a say in it.
    """

    on_matrices: bool = False
    target_sparsity: float | None = None
    allocates: bool = True

    def unfit(self, shape: tuple[int, ...]) -> str | None:
        """Returns why weights of this shape are left out, or None: they fit."""
        del shape
        return None

    def group(self, scores: Arrays) -> Arrays:
        """Returns one score for each group, by key."""
        raise NotImplementedError(f"{type(self).__name__} must implement `group`.")

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Returns for each weight the value of its group."""
        raise NotImplementedError(f"{type(self).__name__} must implement `expand`.")

    def __call__(
        self,
        scores: Arrays,
        sparsity: float,
        allocation: Callable[[Arrays, float], Arrays],
    ) -> Arrays:
        """Returns the masks of whole groups, which the allocation ranks and counts."""
        masks = allocation(self.group(scores), sparsity)
        return self.expand(masks, {key: np.shape(v) for key, v in scores.items()})


class Schedule(Contract):
    """When to prune, and how much: ``(step) -> (should_prune, sparsity)``.

    Attributes:
        by_hand: Whether ``model.prune_to`` is called by the user.
        rewires: Whether the masks are renewed at the target sparsity, too.
        every: Steps between two renewals.
        monitor: The log that it watches, or None.
        schedule: Another schedule that it holds back, or None.
    """

    by_hand: bool = False
    rewires: bool = False
    every: int = 1
    monitor: str | None = None
    schedule: Callable | None = None

    def start(self, step: int, steps: int | None) -> None:
        """Told that a training begins after `step` and lasts `steps`.

        Args:
            step: Number of steps made.
            steps: Number of steps to come; None if it is unknown, and told again
                when the first epoch has shown it.
        """

    def observe(self, step: int, logs: dict[str, float]) -> None:
        """Told that an epoch has ended after `step`, with these logs."""

    def decay(self, step: int) -> float:
        """Returns the factor of the share of connections to move."""
        del step
        return 1.0

    def state(self) -> dict[str, float]:
        """Returns what it has learned, which is saved with the model."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Takes up what `state` gave."""


class Objective(Contract):
    """The loss of the search: ``(model, x, y, sample_weight) -> Losses``.

    Attributes:
        terms: Names of the values that it logs.
        layers: Keras layers that belong to it: trained and saved with the model,
            dropped by `strip_pruning`.
    """

    terms: tuple[str, ...] = ()
    layers: Any = ()
    bind: Callable[[Any], Any] | None = None
    """``(model) -> objective``: called once with the plain Keras model, to check and
    prepare; returns what serves this model alone."""


class View(Contract):
    """A random version of the input.

    Attributes:
        rank: Rank of the input that it is made for, or None.
        moves: Whether things come to another place in the image.
        layers: The views that it is made of.
        name: Its name, for messages.
    """

    rank: int | None = None
    moves: bool = False
    layers: Any = ()
    name: str = ""


class PruningWrapper:
    """What reads a model's weights through masks: `Masked`, `PrunedModel`."""
