"""Renewing the masks at one sparsity: dynamic sparse training."""

import math
import numbers

import keras

from keras_invprune.schedules.base import NEVER, Schedule, check_time


@keras.saving.register_keras_serializable(package="keras_invprune")
class Rewire(Schedule):
    """Prunes before the first step, then renews the masks at the same sparsity.

    For the scores that move connections, `RigL` and `SparseEvolution`, and for `SRSTE`.

    Args:
        sparsity: Share of the prunable weights that are zero throughout, in [0, 1).
        every: ΔT, steps between two renewals.
        until: T_end, a share of the training (float) or a number of steps (int), after
            which the masks stay.
        decays: Whether the share of the connections that move falls to nothing until
            then, by a cosine, as RigL's does; SET's stays.

    Attributes:
        rewires: Tells the callback to go on asking at the target sparsity.

    Example:
        >>> schedule = Rewire(0.9, every=100, until=0.75)
        >>> schedule.start(step=0, steps=400)
        >>> [step for step in range(1, 401) if schedule(step)[0]]
        [1, 101, 201, 301]

    Source:
        Evci et al. 2020, Rigging the lottery (1911.11134), section 3.
    """

    rewires = True

    def __init__(
        self,
        sparsity: float,
        every: int = 100,
        until: float = 0.75,
        decays: bool = True,
    ):
        super().__init__(sparsity)
        whole = isinstance(every, numbers.Integral) and not isinstance(every, bool)
        if not (whole and every >= 1):
            raise ValueError(f"`every` must be at least 1 step. Received: {every!r}.")
        self.every = int(every)
        self.until = check_time(until, "until")
        self.decays = bool(decays)

    def __call__(self, step: int):
        """Returns (step is the first, or ΔT after the last, sparsity)."""
        last = self.step_at(self.until)
        last = self.origin + 1 if last == NEVER else last
        due = (step - self.origin - 1) % self.every == 0
        return due & (step > self.origin) & (step <= last), self.sparsity

    def decay(self, step: int) -> float:
        """½ (1 + cos(π t / T_end)), or 1: the share to move is multiplied by it."""
        if not self.decays:
            return 1.0
        last = max(1, self.step_at(self.until) - self.origin - 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.origin) / last)))
