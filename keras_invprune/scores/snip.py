"""SNIP: which connections the loss is sensitive to, before any training."""

import keras
import numpy as np

from keras_invprune.scores._gradients import loss_at, mean_gradients, tensors
from keras_invprune.scores._on_examples import OnExamples


@keras.saving.register_keras_serializable(package="keras_invprune")
class Snip(OnExamples):
    """``|w · ∂L/∂w|``: the loss's derivative by a mask that is one.

    Meant for `schedule="at_init"`. The network is in evaluation mode.

    Args:
        examples: See `OnExamples`.
        batch_size: See `OnExamples`.

    Example:
        >>> prune(model, 0.95, score="snip", schedule="at_init")  # doctest: +SKIP

    Source:
        Lee et al. 2019, SNIP: single-shot network pruning based on connection
        sensitivity (1810.02340); not divided by the sum, which ranks alike.
    """

    def __call__(self, weights, model):
        """Returns ``{key: array}``; low scores are pruned first."""
        g = mean_gradients(
            tensors(weights),
            lambda values, batch: loss_at(model, values, batch),
            self.batches(model),
        )
        # |∂L/∂c_j| at c = 1
        return {key: np.abs(weight * g[key].numpy()) for key, weight in weights.items()}
