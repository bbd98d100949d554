"""Pruning by hand."""

import keras

from keras_invprune.schedules.base import NEVER, Schedule


@keras.saving.register_keras_serializable(package="keras_invprune")
class Manual(Schedule):
    """Never prunes: you call ``model.prune_to(sparsity)``.

    So that one search serves several sparsities: train, save the weights, then for
    each sparsity load them into a model made for it, prune and fine-tune.

    Args:
        sparsity: The target, in [0, 1), at which the survivors are rewound.

    Example:
        >>> should_prune, _ = Manual(0.9)(10)
        >>> bool(should_prune)
        False
    """

    by_hand = True

    def __call__(self, step: int):
        """Returns (False, sparsity)."""
        return step == NEVER, self.sparsity
