"""How far the pruning of a model has come: clock, point to return to, transitions."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_invprune import tfmot
from keras_invprune.allocation import collapsed
from keras_invprune.contracts import Arrays, Effective, Ranked, Schedule, Score
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.pruning.masked import Masked
from keras_invprune.pruning.plan import Plan
from keras_invprune.pruning.rewind import (
    check_optimizer,
    reset_optimizer,
    restore,
    snapshot,
)
from keras_invprune.schedules import check_sparsity

logger = logging.getLogger("keras_invprune")

FAR = 0.05  # between the share asked for and that of the weights, beside rounding


SCHEDULE = "schedule_"  # before the names of what a schedule has learned


def _saved(name: str) -> Any:
    """A field that is saved by a name, unless it is None."""
    return dataclasses.field(default=None, metadata={"saved": name})


@dataclasses.dataclass
class Remembered:
    """What a training must know beyond variables when it is resumed.

    Each field says by what name it is saved: a new one is added here alone.

    Attributes:
        rewind_to: ``{key: array}`` to go back to, from the start to the rewinding,
            as they were after `rewind_step` steps.
        rewind_step: See there.
        initial_rate: Learning rate to go back to, if it is constant; that of the
            optimizer whose `id` is `rated`.
        finished_step: The number of steps made when the target was reached.
        rated: See there. Another process has other ids: it is not saved.
    """

    rewind_to: Arrays | None = _saved("rewind")
    rewind_step: int | None = _saved("step")
    initial_rate: float | None = _saved("rate")
    finished_step: int | None = _saved("finished_step")
    rated: int | None = None

    def to_arrays(self) -> Arrays:
        """Returns the fields that are not None, weights one by one in their order."""
        arrays: Arrays = {}
        for name, field in self._names():
            value = getattr(self, field)
            if isinstance(value, dict):
                arrays |= {f"{name}_{i}": v for i, v in enumerate(value.values())}
            elif value is not None:
                arrays[name] = np.array(value)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, keys: Iterable[str]) -> "Remembered":
        """Returns what `to_arrays` was made of, `keys` being those of the weights."""
        found: dict[str, Any] = {}
        for name, field in cls._names():
            if name in arrays:
                found[field] = arrays[name].item()
            elif f"{name}_0" in arrays:
                weights = {key: arrays[f"{name}_{i}"] for i, key in enumerate(keys)}
                found[field] = weights
        return cls(**found)

    @classmethod
    def _names(cls) -> Iterator[tuple[str, str]]:
        for field in dataclasses.fields(cls):
            if "saved" in field.metadata:
                yield field.metadata["saved"], field.name


def counter(model: keras.Model, name: str, dtype: str) -> keras.Variable:
    """Adds a number to a model that is counted once, however many replicas there are.

    Args:
        model: A model whose weights are being made.
        name: Name of the weight.
        dtype: Of the integer.
    """
    return model.add_weight(
        name=name,
        shape=(),
        dtype=dtype,
        initializer="zeros",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
    )


class Clock:
    """Counts training steps in one variable, which is saved and never put back.

    Args:
        variable: An integer of no axes.
    """

    def __init__(self, variable: keras.Variable):
        self.variable = variable

    @property
    def step(self) -> int:
        """Steps made."""
        return int(self.variable.numpy())

    def count(self) -> None:
        """Counts one step, also from within a traced one."""
        self.variable.assign_add(1)

    def catch_up(self, step: int) -> None:
        """Goes to `step` unless it is later already."""
        self.variable.assign(max(step, self.step))


class PruningState:
    """The transitions of a pruning, from the first step to the target sparsity.

    Args:
        masked: The network under its masks.
        plan: The choices that make the method.
        clock: Of the training steps.
        finished: Variable, 1 once the target sparsity has been reached.

    Attributes:
        flag: The variable `finished`.
        remembered: `Remembered`.
        events: ``(step, what happened)`` of each pruning and rewinding.
    """

    def __init__(
        self, masked: Masked, plan: Plan, clock: Clock, finished: keras.Variable
    ):
        self.masked, self.plan = masked, plan
        self.clock, self.flag = clock, finished
        self.remembered = Remembered()
        self.events: list[tuple[int, str]] = []

    @property
    def finished(self) -> bool:
        """Whether the target sparsity has been reached."""
        return bool(self.flag.numpy())

    @property
    def moves(self) -> bool:
        """Whether masked weights may come back because the masks move."""
        return self.plan.rewires or bool(Score.of(self.plan.score).rewires)

    @property
    def may_return(self) -> bool:
        """Whether masked weights may come back, moved or remembered."""
        return self.moves or self.masked.remembers

    @property
    def collapsed(self) -> list[str]:
        """Keys of the weights of which pruning has left nothing."""
        return collapsed(self._present())

    def to_arrays(self) -> Arrays:
        """Returns what is saved next to the variables, by name."""
        state = Schedule.of(self.plan.schedule).state()
        learned = {f"{SCHEDULE}{name}": np.array(v) for name, v in state.items()}
        return self.remembered.to_arrays() | learned

    def from_arrays(self, arrays: Arrays, rated: int | None) -> None:
        """Takes up what `to_arrays` gave; what is not among the arrays is forgotten.

        Args:
            arrays: Made under the same plan, but for `rewind`.
            rated: `id` of the optimizer whose learning rate was saved.
        """
        keys = weights_by_key(self.masked.layer)
        self.remembered = Remembered.from_arrays(arrays, keys)
        self.remembered.rated = rated
        if self.plan.rewind is None:
            self.remembered.rewind_to = self.remembered.rewind_step = None
        learned = {
            name.removeprefix(SCHEDULE): array.item()
            for name, array in arrays.items()
            if name.startswith(SCHEDULE)
        }
        if learned:
            Schedule.of(self.plan.schedule).restore(learned)

    def begin(self, optimizer: Any, variables: list[keras.Variable]) -> None:
        """Remembers what to rewind to, before the first step.

        Raises:
            ValueError: If the optimizer could not be built anew when rewinding.
        """
        if self.finished or self.plan.rewind is None:
            return
        known = self.remembered
        if optimizer is not None:
            rate = check_optimizer(optimizer, variables)
            if self.clock.step == 0 or known.rated != id(optimizer):
                known.initial_rate, known.rated = rate, id(optimizer)
        if known.rewind_to is None:
            known.rewind_to, known.rewind_step = snapshot(self.masked.layer), 0

    def anneal(self, progress: float) -> None:
        """Tells the method how far it is on the way to the target, from 0 to 1."""
        progress = min(1.0, max(0.0, float(progress)))
        Effective.of(self.masked.effective).anneal(self.masked, progress)

    def end_epoch(self) -> None:
        """Remembers the weights after the first epoch; stores the masked weights."""
        known = self.remembered
        first = known.rewind_to is not None and known.rewind_step == 0
        if first and self.plan.rewind == "first_epoch":
            known.rewind_to = snapshot(self.masked.layer)
            known.rewind_step = self.clock.step
        self.store()

    def store(self) -> None:
        """Stores the masked weights: averages of an optimizer may hold others."""
        if not self.masked.remembers:
            self.masked.apply_masks()

    def prune_to(self, sparsity: float, model: Ranked) -> bool:
        """Renews the masks; returns whether the target sparsity is now reached.

        Args:
            sparsity: Share of the prunable weights to remove, in [0, 1).
            model: Passed to the score.

        Raises:
            ValueError: If the weights are not finite (the search has diverged), or
                fewer would be removed than are.
        """
        check_sparsity(sparsity)
        as_tfmot = tfmot.is_own(self.plan.schedule) and not self.moves
        if not as_tfmot:
            self.store()  # what grows begins at zero, nothing comes back
        weights = self._finite_weights()
        left = None if as_tfmot or self.may_return else self._present()
        masks = self.plan.masks(weights, model, sparsity, left)
        self._check_no_return(masks, sparsity)
        if left is not None:  # an allocation by layers, a pattern may ask for others
            masks = {k: np.logical_and(mask, left[k]) for k, mask in masks.items()}
        self.warn_of_collapse(masks)
        self.masked.set_masks(masks)
        reached = f"pruned to sparsity {self.masked.sparsity:.4f}"
        self.events.append((self.clock.step, reached))
        if self.finished or sparsity < self.plan.sparsity - 1e-6:
            return False
        self._warn_if_far(sparsity)
        return True

    def finish(self, optimizer: Any, variables: list[keras.Variable]) -> None:
        """Rewinds the survivors, at the target sparsity."""
        known, plan = self.remembered, self.plan
        if known.rewind_to is not None:
            scale = plan.initial_scale if plan.rewind == "unscaled" else 1.0
            restore(self.masked.layer, known.rewind_to, scale, plan.scaled)
            what = f"rewound to the weights of step {known.rewind_step}"
            unscaled = ", before scaling" if plan.rewind == "unscaled" else ""
            self.events.append((self.clock.step, what + unscaled))
            known.rewind_to = known.rewind_step = None
        if plan.rewind is not None and optimizer is not None:
            reset_optimizer(optimizer, variables, known.initial_rate)
        self.flag.assign(1)
        known.finished_step = self.clock.step

    def has_removed(self, sparsity: float) -> bool:
        """Whether more is gone than is to be removed on the way to the target."""
        on_the_way = sparsity < self.plan.sparsity - 1e-6
        less = sparsity < self.masked.sparsity - 1e-6
        return on_the_way and less and not self.may_return

    def warn_of_collapse(self, masks: Arrays) -> None:
        """Logs what masks that are to be set leave nothing of, and did not before."""
        before = self.collapsed
        lost = [key for key in collapsed(masks) if key not in before]
        if lost:
            self.events.append((self.clock.step, f"nothing left of {', '.join(lost)}"))
            log_collapse(lost, f" at step {self.clock.step}")

    def _present(self) -> Arrays:
        return {key: mask.numpy() != 0 for key, mask in self.masked.masks.items()}

    def _finite_weights(self) -> Arrays:
        weights = {key: v.numpy() for key, v in self.masked.prunable.items()}
        for key, weight in weights.items():
            if not np.isfinite(weight).all():
                raise ValueError(
                    f"Weight {key!r} is not finite at step {self.clock.step}: training "
                    "has diverged or the data hold NaN. Lower the learning rate."
                )
        return weights

    def _check_no_return(self, masks, sparsity):
        """Raises ValueError where more weights would count than are left."""
        if self.may_return:
            return
        left = sum(int(np.count_nonzero(mask)) for mask in self._present().values())
        wanted = sum(int(np.count_nonzero(mask)) for mask in masks.values())
        if wanted > left:
            raise ValueError(
                f"{self.masked.sparsity:.4g} of the weights are removed, and what is "
                "removed is gone: it cannot come back. Received: "
                f"sparsity={sparsity:.4g}. Prune to increasing sparsities; for a "
                "smaller one begin again with the unpruned model."
            )

    def _warn_if_far(self, sparsity):
        size = sum(int(np.prod(mask.shape)) for mask in self.masked.masks.values())
        if abs(self.masked.sparsity - sparsity) > FAR + 1 / size:
            logger.warning(
                "Asked to remove %.4g, and %.4g of the weights are masked: the pattern "
                "(%r) counts groups, the allocation removes another share, or zeros "
                "that were there before lie elsewhere. Give another sparsity if that "
                "is not meant.",
                sparsity,
                self.masked.sparsity,
                self.plan.pattern,
            )


def log_collapse(lost: Iterable[str], when: str = "") -> None:
    """Logs a warning if weights have lost all their entries."""
    if lost:
        logger.warning(
            "Layer collapse: nothing is left of %s%s, so nothing comes through them. "
            "Give an allocation that keeps some of each ('erk', 'uniform'), "
            "score='synflow', or less sparsity.",
            ", ".join(lost),
            when,
        )
