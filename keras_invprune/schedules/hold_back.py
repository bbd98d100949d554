"""Holding a schedule back while a metric is down."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.schedules.base import Learning, check_monitor
from keras_invprune.schedules.saving import load_schedule, save_schedule
from keras_invprune.tfmot import PruningSchedule


@keras.saving.register_keras_serializable(package="keras_invprune")
class HoldBack(Learning, contracts.Schedule, PruningSchedule):
    """Delays another schedule while a metric is down by more than a tolerance.

    The schedule's time stands still while the metric is worse than its best
    value so far by more than `tolerance`, and goes on when it has recovered.

    Args:
        schedule: Any `PruningSchedule` with several steps.
        monitor: The log to watch, e.g. ``"val_accuracy"``.
        tolerance: Largest accepted loss, in the metric's own unit.
        mode: "max" if higher is better, else "min".

    Example:
        >>> from keras_invprune.schedules import Gradual
        >>> schedule = HoldBack(Gradual(0.8), "val_accuracy", tolerance=0.02)

    Raises:
        ValueError: An unknown `mode` or a negative `tolerance`.
        TypeError: `schedule` cannot be called.
    """

    learned = ("best", "held", "holding", "last_step")

    def __init__(
        self,
        schedule: Callable,
        monitor: str = "val_accuracy",
        tolerance: float = 0.01,
        mode: str = "max",
    ):
        if mode not in ("max", "min"):
            raise ValueError(f"`mode` must be 'max' or 'min'. Received: {mode!r}.")
        if not tolerance >= 0:
            raise ValueError(f"`tolerance` must be >= 0. Received: {tolerance!r}.")
        if not callable(schedule):
            raise TypeError(
                "`schedule` must be a PruningSchedule, such as Gradual(sparsity). "
                f"Received: {schedule!r}."
            )
        self.schedule: Callable = schedule
        self.monitor: str = monitor
        self.tolerance = tolerance
        self.mode = mode
        self._reset(0)

    @property
    def _held_back(self):
        return contracts.Schedule.of(self.schedule)

    def _reset(self, step):
        self.best = -np.inf
        self.held = 0
        self.holding = False
        self.last_step = step

    def start(self, step: int, steps: int | None):
        """The training begins: nothing has been seen yet."""
        self._reset(step)
        self._held_back.start(step, steps)

    def observe(self, step: int, logs: dict[str, float]):
        """Holds or releases the schedule by the epoch's metric."""
        if self.holding:
            self.held += step - self.last_step
        self.last_step = step
        if check_monitor(self, logs):
            value = float(logs[self.monitor]) * (1 if self.mode == "max" else -1)
            self.best = max(self.best, value)
            self.holding = value < self.best - self.tolerance
        self._held_back.observe(step - self.held, logs)

    def state(self):
        """Its own numbers and those of the schedule it holds back."""
        inner = self._held_back.state().items()
        return super().state() | {f"inner_{name}": value for name, value in inner}

    def restore(self, state: dict[str, float]):
        """Takes up both."""
        super().restore(state)
        names = [name for name in state if name.startswith("inner_")]
        if names:
            inner = {name.removeprefix("inner_"): state[name] for name in names}
            self._held_back.restore(inner)

    def __call__(self, step: int):
        """Returns the other schedule's answer for the time not held back."""
        should_prune, sparsity = self.schedule(step - self.held)
        return np.logical_and(should_prune, not self.holding), sparsity

    def get_config(self):
        """Returns the schedule and the constructor's other arguments."""
        return {
            "schedule": save_schedule(self.schedule),
            "monitor": self.monitor,
            "tolerance": self.tolerance,
            "mode": self.mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """Builds the wrapped schedule first."""
        schedule = load_schedule(config["schedule"])
        return cls(**{**config, "schedule": schedule})
