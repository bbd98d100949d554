"""Dynamic sparse training: the masks are updated at a constant sparsity."""

import math

import keras

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import Due
from keras_invprune.schedules.base import NEVER, Schedule, check_time


@keras.saving.register_keras_serializable(package="keras_invprune")
class Rewire(Schedule):
    """Prunes before the first step, then updates the masks at the same sparsity.

    Use it with scores that move connections, such as `RigL` and `SparseEvolution`, and
    with `SRSTE`.

    Args:
        sparsity: Share of the prunable weights that are zero throughout, in [0, 1).
        every: ΔT, number of steps between two updates, at least 1.
        until: T_end, a share of the training (float) or a number of steps (int), after
            which the masks are fixed.
        decays: Whether the share of connections that move falls to zero at T_end along
            a cosine, as in RigL. In SET it is constant.

    Attributes:
        rewires: Makes the callback update the masks at the target sparsity, too.

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
        if not is_positive_integer(every):
            raise ValueError(
                f"`every` must be an integer of at least 1 step. Received: {every!r}."
            )
        self.every = int(every)
        self.until = check_time(until, "until")
        self.decays = bool(decays)

    def __call__(self, step: int) -> Due:
        """Return (whether to update the masks before this step, sparsity)."""
        last = self.step_at(self.until)
        last = self.origin + 1 if last == NEVER else last
        due = (step - self.origin - 1) % self.every == 0
        return due & (step > self.origin) & (step <= last), self.sparsity

    def decay(self, step: int) -> float:
        """Return the factor of the share to move: ½ (1 + cos(π t / T_end)), or 1."""
        if not self.decays:
            return 1.0
        last = max(1, self.step_at(self.until) - self.origin - 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.origin) / last)))
