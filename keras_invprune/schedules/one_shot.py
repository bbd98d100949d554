"""One-shot pruning."""

import keras

from keras_invprune.contracts import Due
from keras_invprune.schedules.base import Schedule, check_time


@keras.saving.register_keras_serializable(package="keras_invprune")
class OneShot(Schedule):
    """Prunes once, at the time `at`.

    Args:
        sparsity: Share of the prunable weights to remove, in [0, 1).
        at: When to prune. A float is a share of the training in [0, 1): with 0.5, half
            the steps search and half fine-tune. An int is a number of steps.

    Example:
        >>> schedule = OneShot(0.9, at=0.5)
        >>> schedule.start(step=0, steps=100)
        >>> [step for step in range(1, 101) if schedule(step)[0]]  # before step 51
        [51]
    """

    once = True

    def __init__(self, sparsity: float, at: float = 0.5):
        super().__init__(sparsity)
        self.at = check_time(at, "at")
        self.at_init = self.at == 0

    def __call__(self, step: int) -> Due:
        """Return (whether this step is the first after `at`, sparsity)."""
        return step == self.step_at(self.at), self.sparsity
