"""Gradual pruning."""

import keras
import numpy as np

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import Due
from keras_invprune.schedules.base import NEVER, Schedule, check_time


@keras.saving.register_keras_serializable(package="keras_invprune")
class Gradual(Schedule):
    """Gradual pruning along a cubic: s_t = s - s (1 - (t - t_0) / (t_1 - t_0))^3.

    Args:
        sparsity: Final sparsity s, in [0, 1).
        begin: t_0, a share of the training (float) or a number of steps (int).
        end: t_1, in either unit.
        updates: Number of mask updates, evenly spaced, the last one at `end`. There are
            fewer if there are fewer steps.

    Raises:
        ValueError: If an argument is out of range, or if `begin` is not before `end`.

    Example:
        >>> schedule = Gradual(0.8, begin=0, end=100, updates=4)
        >>> schedule.start(step=0, steps=200)
        >>> [(t, round(float(schedule(t)[1]), 4)) for t in range(102) if schedule(t)[0]]
        [(26, 0.4625), (51, 0.7), (76, 0.7875), (101, 0.8)]

    Source:
        Zhu & Gupta 2017 (1710.01878), eq. 1.
    """

    def __init__(
        self, sparsity: float, begin: float = 0.1, end: float = 0.6, updates: int = 10
    ):
        super().__init__(sparsity)
        self.begin = check_time(begin, "begin")
        self.end = check_time(end, "end")
        if type(self.begin) is type(self.end) and self.begin >= self.end:
            raise ValueError(
                f"`begin` must come before `end`. Received: {begin} and {end}."
            )
        if not is_positive_integer(updates):
            raise ValueError(f"`updates` must be at least 1. Received: {updates!r}.")
        self.updates = int(updates)

    def start(self, step: int, steps: int | None) -> None:
        """Prepare for a training that begins after `step` and lasts `steps`.

        Raises:
            ValueError: If `begin` comes after `end` when both are counted in steps.
        """
        super().start(step, steps)
        if self.step_at(self.begin) > self.step_at(self.end) and steps is not None:
            raise ValueError(
                f"`begin` must come before `end`. Received: begin={self.begin} and "
                f"end={self.end} in a training of {steps} steps."
            )

    def __call__(self, step: int) -> Due:
        """Return (step is one of the updates, s_t)."""
        begin, end = self.step_at(self.begin), self.step_at(self.end)
        if end == NEVER or begin == NEVER:
            return step == NEVER, self.sparsity
        turns = np.unique(np.linspace(begin, end, self.updates + 1).round()[1:])
        progress = np.clip((step - begin) / max(1, end - begin), 0.0, 1.0)
        progress = np.where(step >= end, 1.0, progress)  # also if begin == end
        return np.isin(step, turns), self.sparsity * (1.0 - (1.0 - progress) ** 3)
