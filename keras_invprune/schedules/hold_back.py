"""Delays a schedule while a metric is low."""

from typing import Any, Self

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.arguments import is_number
from keras_invprune.contracts import Due, ScheduleLike
from keras_invprune.schedules.base import Learning, check_monitor
from keras_invprune.schedules.saving import load_schedule, save_schedule
from keras_invprune.tfmot import PruningSchedule


@keras.saving.register_keras_serializable(package="keras_invprune")
class HoldBack(Learning, contracts.Schedule, PruningSchedule):
    """Delays another schedule while a metric is clearly worse than its best.

    The schedule's clock stops while the metric is worse than its best value so far by
    more than `tolerance`. It resumes when the metric has recovered.

    Args:
        schedule: Any `PruningSchedule` with several steps.
        monitor: Name of the log to watch, e.g. ``"val_accuracy"``.
        tolerance: Largest accepted deterioration, at least 0, in the metric's unit.
        mode: "max" if higher is better, else "min".

    Example:
        >>> from keras_invprune.schedules import Gradual
        >>> schedule = HoldBack(Gradual(0.8), "val_accuracy", tolerance=0.02)

    Raises:
        ValueError: If `mode` is unknown or `tolerance` is negative.
        TypeError: If `schedule` is not callable.
    """

    learned = ("best", "held", "holding", "last_step")

    def __init__(
        self,
        schedule: ScheduleLike,
        monitor: str = "val_accuracy",
        tolerance: float = 0.01,
        mode: str = "max",
    ):
        if mode not in ("max", "min"):
            raise ValueError(f"`mode` must be 'max' or 'min'. Received: {mode!r}.")
        if not (is_number(tolerance) and tolerance >= 0):
            raise ValueError(
                f"`tolerance` must be a number >= 0. Received: {tolerance!r}."
            )
        if not callable(schedule):
            raise TypeError(
                "`schedule` must be a PruningSchedule, such as Gradual(sparsity). "
                f"Received: {schedule!r}."
            )
        self.schedule: ScheduleLike = schedule
        self.monitor: str = monitor
        self.tolerance = float(tolerance)
        self.mode = mode
        self._reset(0)

    @property
    def _held_back(self) -> contracts.Schedule:
        return contracts.Schedule.of(self.schedule)

    def _reset(self, step: int) -> None:
        self.best = -np.inf
        self.held = 0
        self.holding = False
        self.last_step = step

    def start(self, step: int, steps: int | None) -> None:
        """Forget what was observed, and start the other schedule."""
        self._reset(step)
        self._held_back.start(step, steps)

    def observe(self, step: int, logs: dict[str, float]) -> None:
        """Stop or resume the other schedule's clock, by the epoch's metric."""
        if self.holding:
            self.held += step - self.last_step
        self.last_step = step
        if check_monitor(self, logs):
            value = float(logs[self.monitor]) * (1 if self.mode == "max" else -1)
            self.best = max(self.best, value)
            self.holding = value < self.best - self.tolerance
        self._held_back.observe(step - self.held, logs)

    def state(self) -> dict[str, float]:
        """Return its own numbers and those of the other schedule."""
        inner = self._held_back.state().items()
        return super().state() | {f"inner_{name}": value for name, value in inner}

    def restore(self, state: dict[str, float]) -> None:
        """Restore its own numbers and those of the other schedule."""
        super().restore(state)
        names = [name for name in state if name.startswith("inner_")]
        if names:
            inner = {name.removeprefix("inner_"): state[name] for name in names}
            self._held_back.restore(inner)

    def __call__(self, step: int) -> Due:
        """Return the other schedule's answer for its own clock."""
        should_prune, sparsity = self.schedule(step - self.held)
        return np.logical_and(should_prune, not self.holding), sparsity

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the config of the schedule."""
        return {
            "schedule": save_schedule(self.schedule),
            "monitor": self.monitor,
            "tolerance": self.tolerance,
            "mode": self.mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the schedule, with the other schedule made from its config."""
        schedule = load_schedule(config["schedule"])
        return cls(**{**config, "schedule": schedule})
