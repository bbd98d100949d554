"""Prunes when the search has converged."""

import keras
import numpy as np

from keras_invprune.arguments import is_number, is_positive_integer
from keras_invprune.contracts import Due
from keras_invprune.schedules.base import (
    NEVER,
    Learning,
    Schedule,
    check_monitor,
    check_time,
)


@keras.saving.register_keras_serializable(package="keras_invprune")
class WhenConverged(Learning, Schedule):
    """Prunes once, when a logged value has stopped falling.

    Args:
        sparsity: Share of the prunable weights to remove, in [0, 1).
        monitor: Name of the log to watch, which should fall.
        patience: Number of epochs without a new minimum after which to prune.
        min_delta: Smallest relative decrease that counts as a new minimum, at least 0.
        at_latest: Latest time to prune, a share of the training (float) or a number of
            steps (int).

    Example:
        >>> schedule = WhenConverged(0.9, patience=1)
        >>> schedule.start(step=0, steps=100)
        >>> for epoch, loss in enumerate([4.0, 3.0, 3.0]):
        ...     schedule.observe(10 * (epoch + 1), {"invariance_loss": loss})
        >>> [step for step in range(1, 101) if schedule(step)[0]]
        [31]

    Raises:
        ValueError: If an argument is out of range.
    """

    once = True
    learned = ("best", "waited", "converged_at")

    def __init__(
        self,
        sparsity: float,
        monitor: str = "invariance_loss",
        patience: int = 2,
        min_delta: float = 0.01,
        at_latest: float = 0.7,
    ):
        super().__init__(sparsity)
        if not is_positive_integer(patience):
            raise ValueError(f"`patience` must be at least 1. Received: {patience!r}.")
        if not (is_number(min_delta) and min_delta >= 0):
            raise ValueError(
                f"`min_delta` must be a number >= 0. Received: {min_delta!r}."
            )
        self.monitor: str = monitor
        self.patience = int(patience)
        self.min_delta = min_delta
        self.at_latest = check_time(at_latest, "at_latest")
        self.best = np.inf
        self.waited = 0
        self.converged_at = NEVER

    def start(self, step: int, steps: int | None) -> None:
        """Forget what was observed, and prepare for a training of `steps` steps."""
        super().start(step, steps)
        self.best, self.waited, self.converged_at = np.inf, 0, NEVER

    def observe(self, step: int, logs: dict[str, float]) -> None:
        """Count the epochs since the monitored value last fell."""
        if not check_monitor(self, logs) or not np.isfinite(logs[self.monitor]):
            return
        value = float(logs[self.monitor])
        if value < self.best - self.min_delta * abs(self.best or 1.0) or (
            self.best == np.inf
        ):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited >= self.patience and self.converged_at == NEVER:
            self.converged_at = step + 1

    def __call__(self, step: int) -> Due:
        """Return (whether this step is the first after convergence, sparsity)."""
        turn = min(self.converged_at, self.step_at(self.at_latest))
        return step == turn, self.sparsity
