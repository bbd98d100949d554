"""The base class of our schedules, and checks of their arguments."""

import numpy as np

from keras_invprune import contracts
from keras_invprune.arguments import is_number, number
from keras_invprune.saving import Configured
from keras_invprune.tfmot import PruningSchedule

NEVER = np.iinfo(np.int64).max


def check_sparsity(sparsity: float, name: str = "sparsity") -> float:
    """Return `sparsity` as a float.

    Raises:
        TypeError: If `sparsity` is not a number.
        ValueError: If it is not in [0, 1). For 90, the message proposes 0.9.
    """
    if not is_number(sparsity):
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


def check_time(value: float, name: str) -> float:
    """Return a share of the training as a float, or a number of steps as an int.

    Raises:
        ValueError: If `value` is negative or not a number, or if a share is not below
            1.
    """
    if not is_number(value) or not value >= 0:
        raise ValueError(
            f"`{name}` must be a share of the training in [0, 1) (float) or a number "
            f"of steps (int). Received: {name}={value!r}."
        )
    value = number(value)
    if isinstance(value, float) and value >= 1.0:
        raise ValueError(
            f"`{name}` as a share of the training must be below 1, to leave steps for "
            f"fine-tuning. Received: {name}={value}. Pass a number of steps as an int."
        )
    return value


class Learning:
    """A mixin that saves what a schedule has learned from the logs.

    Attributes:
        learned: Names of the attributes that `observe` changes.
    """

    learned: tuple[str, ...] = ()

    def state(self) -> dict:
        """Return the numbers learned so far, by name."""
        return {name: getattr(self, name) for name in self.learned}

    def restore(self, state: dict[str, float]) -> None:
        """Restore the numbers that `state` returned."""
        for name in self.learned:
            kind = type(getattr(self, name))
            setattr(self, name, kind(state[name]))


def check_monitor(schedule: contracts.Schedule, logs: dict[str, float]) -> bool:
    """Return whether `schedule.monitor` is in the logs.

    It is not if it is a validation metric and this epoch ran no validation.

    Raises:
        ValueError: If `schedule.monitor` is missing for any other reason.
    """
    monitor = str(schedule.monitor)
    if monitor in logs:
        return True
    validated = any(name.startswith("val_") for name in logs)
    if monitor.startswith("val_") and not validated:
        return False  # `validation_freq` skips epochs
    raise ValueError(
        f"{type(schedule).__name__} watches {monitor!r}, which is not "
        f"logged. Logged: {sorted(logs)}. Set `monitor` to one of these."
    )


class Schedule(Configured, contracts.Schedule, PruningSchedule):
    """The base class of our schedules. It converts shares of the training to steps."""

    once = False

    def __init__(self, sparsity: float):
        self.sparsity = check_sparsity(sparsity)
        self.origin = 0
        self.steps: int | None = None

    def start(self, step: int, steps: int | None) -> None:
        """Prepare for a training that begins after `step` and lasts `steps`.

        Args:
            step: Number of steps made so far.
            steps: Number of steps to come, or None if unknown.
        """
        self.origin = step
        self.steps = steps

    def step_at(self, time: float) -> int:
        """Return the first step after `time`, a share of the training or a step count.

        A share below 1 always yields a step of the training, however short it is. It
        yields `NEVER` as long as the length of the training is unknown.
        """
        if isinstance(time, float) and time > 0:
            if self.steps is None:
                return NEVER
            time = min(round(time * self.steps), self.steps - 1)
        return self.origin + int(time) + 1
