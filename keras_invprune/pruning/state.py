"""How far the pruning of a model has come: clock, rewind point, transitions."""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_invprune import tfmot
from keras_invprune.allocation import collapsed
from keras_invprune.contracts import Arrays, Effective, Ranked, Schedule
from keras_invprune.graph.connections import clear_absent, connections_of
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.masks.groups import sparsity_of
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

FAR = 0.05  # a warning is logged if the masked share is further from the sparsity


SCHEDULE = "schedule_"  # prefix of the state of a schedule


def _saved(name: str) -> Any:
    """Return a field that is saved under a name, unless it is None."""
    return dataclasses.field(default=None, metadata={"saved": name})


@dataclasses.dataclass
class Remembered:
    """What a resumed training needs beyond its variables.

    Each field declares the name that it is saved under: add new ones here only.

    Attributes:
        rewind_to: ``{key: array}`` to rewind to; None before training begins and after
            rewinding.
        rewind_step: Number of training steps after which `rewind_to` was taken.
        initial_rate: Learning rate to return to; None for a schedule.
        finished_step: Number of training steps made when the target was reached.
        asked: The last share of a budget's cost that was asked to be removed. Groups
            cost different amounts, so more may be gone.
        rated: `id` of the optimizer that `initial_rate` was read from. It is not
            saved, since ids differ between processes.
    """

    rewind_to: Arrays | None = _saved("rewind")
    rewind_step: int | None = _saved("step")
    initial_rate: float | None = _saved("rate")
    finished_step: int | None = _saved("finished_step")
    asked: float | None = _saved("asked")
    rated: int | None = None

    def to_arrays(self) -> Arrays:
        """Return the fields that are not None by name, one array for each weight."""
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
        """Return the object that `to_arrays` saved; `keys` are those of the weights."""
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
    """Add an integer variable to a model, updated by the first replica only.

    Args:
        model: A model whose weights are being created.
        name: Name of the variable.
        dtype: Its integer dtype.
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
    """A counter of training steps, which is saved and never reset.

    Args:
        variable: A scalar integer.
    """

    def __init__(self, variable: keras.Variable):
        self.variable = variable

    @property
    def step(self) -> int:
        """Number of training steps made."""
        return int(self.variable.numpy())

    def count(self) -> None:
        """Count one step; works inside traced functions."""
        self.variable.assign_add(1)

    def catch_up(self, step: int) -> None:
        """Advance to `step` unless the clock is later already."""
        self.variable.assign(max(step, self.step))


class PruningState:
    """How far a pruning has come, and its transitions up to the target sparsity.

    Args:
        masked: The masked network.
        plan: The choices that make the method.
        clock: Counter of the training steps.
        finished: Variable that is 1 once the target sparsity has been reached.

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
    def may_return(self) -> bool:
        """Whether masked weights may return, by moving masks or by stored values."""
        return self.plan.moves or self.masked.remembers

    @property
    def collapsed(self) -> list[str]:
        """Keys of the weights that are masked entirely."""
        return collapsed(self._present())

    @property
    def removed(self) -> float:
        """The share that is removed, counted as the target sparsity is: see `share`."""
        return self.share(self._present())

    def to_arrays(self) -> Arrays:
        """Return what is saved next to the variables, by name."""
        state = Schedule.of(self.plan.schedule).state()
        learned = {f"{SCHEDULE}{name}": np.array(v) for name, v in state.items()}
        return self.remembered.to_arrays() | learned

    def from_arrays(self, arrays: Arrays, rated: int | None) -> None:
        """Load what `to_arrays` returned; fields without an array become None.

        Args:
            arrays: Arrays of a model with the same plan, except for `rewind`.
            rated: `id` of the optimizer that the saved learning rate belongs to.
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
        """Remember what to rewind to, before the first step.

        Raises:
            ValueError: If the optimizer cannot be rebuilt when rewinding.
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
        """Tell the method its progress to the target, from 0 to 1."""
        progress = min(1.0, max(0.0, float(progress)))
        Effective.of(self.masked.effective).anneal(self.masked, progress)

    def end_epoch(self) -> None:
        """Remember the weights after the first epoch; store masked weights as 0."""
        known = self.remembered
        first = known.rewind_to is not None and known.rewind_step == 0
        if first and self.plan.rewind == "first_epoch":
            known.rewind_to = snapshot(self.masked.layer)
            known.rewind_step = self.clock.step
        self.store()

    def store(self) -> None:
        """Store masked weights as 0, which averages of an optimizer may not be.

        Connections that a graph does not have are 0 as well, whether masked or not.
        """
        if not self.masked.remembers:
            self.masked.apply_masks()
        clear_absent(self.masked.layer.weights)

    def prune_to(self, sparsity: float, model: Ranked) -> bool:
        """Renew the masks, and return whether the target sparsity is now reached.

        Args:
            sparsity: Share of the prunable weights to remove, in [0, 1).
            model: The pruned model, which the score may ask.

        Raises:
            ValueError: If the weights are not finite (training has diverged), or if
                fewer weights would be removed than already are. With a budget: if the
                share is lower than the last one, unless no more than that is removed.
        """
        check_sparsity(sparsity)
        # TF-MOT has no tied groups, whose masks could equal its own.
        as_tfmot = tfmot.is_own(self.plan.schedule) and self.plan.dependencies is None
        as_tfmot = as_tfmot and not self.plan.moves
        if not as_tfmot:
            self.store()  # weights that grow start at zero; no old value returns
        weights = self._finite_weights()
        present, graph = self._present(), self._graph()
        left = None if as_tfmot or self.may_return else present
        if graph:
            every = {key: np.ones(mask.shape, bool) for key, mask in present.items()}
            left = _within(graph, every if left is None else left)
        masks = _within(graph, self.plan.masks(weights, model, sparsity, left))
        self._check_no_return(masks, sparsity, present)
        if left is not None:  # allocations and patterns may pick removed weights
            masks = _within(left, masks)
        self.warn_of_collapse(masks, present)
        self.masked.set_masks(masks)
        if self.plan.budget is not None:
            self.remembered.asked = float(sparsity)
        reached = f"pruned to sparsity {sparsity_of(masks):.4f}"
        self.events.append((self.clock.step, reached))
        if self.finished or sparsity < self.plan.sparsity - 1e-6:
            return False
        self._warn_if_far(sparsity, self.share(masks))
        return True

    def finish(self, optimizer: Any, variables: list[keras.Variable]) -> None:
        """Rewind the surviving weights, at the target sparsity."""
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
        """Return whether more is gone for good than `sparsity` asks to remove."""
        on_the_way = sparsity < self.plan.sparsity - 1e-6
        if not on_the_way or self.may_return:
            return False
        return sparsity < self.removed - 1e-6

    def warn_of_collapse(self, masks: Arrays, present: Arrays | None = None) -> None:
        """Log the weights that new masks remove entirely, unlike present ones."""
        before = collapsed(self._present() if present is None else present)
        lost = [key for key in collapsed(masks) if key not in before]
        if lost:
            self.events.append((self.clock.step, f"nothing left of {', '.join(lost)}"))
            log_collapse(lost, f" at step {self.clock.step}")

    def share(self, masks: Arrays) -> float:
        """Return the share that masks remove: of the weights, or of tied groups.

        With a budget, it is the share of the cost of the groups.

        Args:
            masks: ``{key: bool array}`` of all masked weights.
        """
        shapes = {key: mask.shape for key, mask in masks.items()}
        return self.plan.groups(shapes).removed(masks)

    @property
    def _counted(self) -> str:
        """What the target sparsity is a share of."""
        if self.plan.budget is not None:
            return "cost"
        return "weights" if self.plan.dependencies is None else "groups"

    def _present(self) -> Arrays:
        return {key: mask.numpy() != 0 for key, mask in self.masked.masks.items()}

    def _graph(self) -> Arrays:
        """Return ``{key: bool array}`` of the connections that a graph has.

        All other weights stay zero, so a mask that kept some would keep nothing. Tied
        groups are counted and scored as a whole, wherever they have no weights.
        """
        if self.plan.dependencies is not None:
            return {}
        found = connections_of(self.masked.prunable)
        return {key: connections.mask for key, connections in found.items()}

    def _finite_weights(self) -> Arrays:
        weights = {key: v.numpy() for key, v in self.masked.prunable.items()}
        for key, weight in weights.items():
            if not _is_finite(weight):
                raise ValueError(
                    f"Weight {key!r} is not finite at step {self.clock.step}: training "
                    "has diverged or the data hold NaN. Lower the learning rate."
                )
        return weights

    def _check_no_return(self, masks, sparsity, present):
        """Raise ValueError if masks would keep more weights than are left."""
        tied = self.plan.dependencies is not None
        if self.may_return or (tied and collapsed(present)):
            return  # of an empty weight, it cannot be told which groups it keeps
        removed = self.share(present)
        if self.plan.budget is None:
            less = self.share(masks) < removed - 1e-12
        else:  # whose masks keep removed groups removed
            asked = self.remembered.asked
            least = self.plan.sparsity if asked is None else asked
            less = sparsity < min(removed, least) - 1e-6
        if less:
            raise ValueError(
                f"A share of {removed:.4g} of the {self._counted} is removed, and "
                "removed weights cannot come back. Received: "
                f"sparsity={sparsity:.4g}. Prune to increasing sparsities; for a "
                "smaller one, start again from the unpruned model."
            )

    def _warn_if_far(self, sparsity, removed):
        groups, masks = self.plan.dependencies, self.masked.masks.values()
        size = sum(
            groups.families.values() if groups else (math.prod(m.shape) for m in masks)
        )
        met = self.plan.budget is not None  # or else there is an error
        if abs(removed - sparsity) > FAR + 1 / size and not met:
            logger.warning(
                "Asked to remove %.4g, and %.4g of the %s are masked: the pattern "
                "(%r) counts groups, the allocation removes another share, earlier "
                "zeros are in other places, or a graph has fewer connections. Use "
                "another sparsity if this is not intended.",
                sparsity,
                removed,
                self._counted,
                self.plan.pattern,
            )


def _within(bounds, masks) -> Arrays:
    """Return masks that keep nothing outside of the bounds of their keys."""
    within = {k: np.logical_and(masks[k], bound) for k, bound in bounds.items()}
    return masks | within


def _is_finite(values) -> bool:
    """Return whether no value is infinite or NaN: a finite sum proves it, fast."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def log_collapse(lost: Iterable[str], when: str = "") -> None:
    """Log a warning if weights have lost all their entries."""
    if lost:
        logger.warning(
            "Layer collapse: nothing is left of %s%s, so no signal passes. "
            "Use an allocation that keeps some of each ('erk', 'uniform'), "
            "score='synflow', or a lower sparsity.",
            ", ".join(lost),
            when,
        )
