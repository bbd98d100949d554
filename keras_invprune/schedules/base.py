"""What all our schedules share: the sparsity, and shares of the training."""

from typing import Any

import numpy as np

from keras_invprune import contracts
from keras_invprune.saving import Configured
from keras_invprune.tfmot import PruningSchedule

NEVER = np.iinfo(np.int64).max


def check_sparsity(sparsity: Any, name: str = "sparsity") -> float:
    """Returns `sparsity` as a float, or raises when it is not in [0, 1).

    Raises:
        TypeError: Not a number.
        ValueError: NaN or out of range; 90 is asked whether it means 0.9.
    """
    if isinstance(sparsity, bool) or not isinstance(sparsity, int | float | np.number):
        raise TypeError(
            f"`{name}` must be a number in [0, 1). Received: {name}={sparsity!r} "
            f"of type {type(sparsity).__name__}."
        )
    if not 0.0 <= sparsity < 1.0:
        hint = f" Did you mean {sparsity / 100:g}?" if 1 < sparsity < 100 else ""
        raise ValueError(
            f"`{name}` is the share of weights to remove and must be in [0, 1). "
            f"Received: {name}={sparsity}.{hint}"
        )
    return float(sparsity)


def check_time(value: float, name: str):
    """Returns `value`, a share of the training (float) or a number of steps (int).

    Raises:
        ValueError: Negative, not a number, or a share of 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(
            f"`{name}` is a share of the training in [0, 1) (float) or a number of "
            f"steps (int). Received: {name}={value!r}."
        )
    if isinstance(value, float) and value >= 1.0:
        raise ValueError(
            f"`{name}` as a share of the training must be below 1, so that steps for "
            f"fine-tuning are left; a number of steps is an int. Received: {value}."
        )
    return value


class Learning:
    """What a schedule has learned from the logs, so that it can be saved.

    Attributes:
        learned: Names of its attributes that `observe` changes.
    """

    learned: tuple[str, ...] = ()

    def state(self) -> dict:
        """The numbers learned so far, by name."""
        return {name: getattr(self, name) for name in self.learned}

    def restore(self, state: dict[str, float]):
        """Takes up the numbers that `state` gave."""
        for name in self.learned:
            kind = type(getattr(self, name))
            setattr(self, name, kind(state[name]))


def check_monitor(schedule: Any, logs: dict[str, float]):
    """Whether `schedule.monitor` is in the logs; False where validation did not run.

    Raises:
        ValueError: It is not logged, and nothing says that it will be.
    """
    if schedule.monitor in logs:
        return True
    validated = any(name.startswith("val_") for name in logs)
    if schedule.monitor.startswith("val_") and not validated:
        return False  # `validation_freq` skips epochs
    raise ValueError(
        f"{type(schedule).__name__} watches {schedule.monitor!r}, which is not "
        f"logged. Logged: {sorted(logs)}."
    )


class Schedule(Configured, contracts.Schedule, PruningSchedule):
    """Common to ours: shares of the training become steps when it begins."""

    def __init__(self, sparsity: float):
        self.sparsity = check_sparsity(sparsity)
        self.origin = 0
        self.steps: int | None = None

    def start(self, step: int, steps: int | None):
        """The training begins at `step` and lasts `steps` (None: unknown)."""
        self.origin = step
        self.steps = steps

    def step_at(self, time: float) -> int:
        """The first step after `time`, a share of the training or a step count.

        A share below 1 is always a step of the training, however short; `NEVER` as
        long as the length of the training is unknown.
        """
        if isinstance(time, float) and time > 0:
            if self.steps is None:
                return NEVER
            time = min(round(time * self.steps), self.steps - 1)
        return self.origin + int(time) + 1
