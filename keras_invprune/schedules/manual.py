"""Pruning by hand."""

import keras

from keras_invprune.contracts import Due
from keras_invprune.schedules.base import NEVER, Schedule


@keras.saving.register_keras_serializable(package="keras_invprune")
class Manual(Schedule):
    """Never prunes by itself: you call ``model.prune_to(sparsity)``.

    One search can thus serve several sparsities: train and save the weights; then, for
    each sparsity, load them into a model made for it, prune and fine-tune.

    Args:
        sparsity: Target sparsity, in [0, 1), at which the kept weights are rewound.

    Example:
        >>> should_prune, _ = Manual(0.9)(10)
        >>> bool(should_prune)
        False
    """

    by_hand = True

    def __call__(self, step: int) -> Due:
        """Return (False, sparsity)."""
        return step == NEVER, self.sparsity
