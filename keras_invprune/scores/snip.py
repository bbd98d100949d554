"""SNIP: which connections the loss is sensitive to, before any training."""

import numpy as np

from keras_invprune.contracts import Arrays, ScoreContext
from keras_invprune.scores._gradients import mean_gradients, tensors
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("snip")
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

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: array}``; low scores are pruned first."""
        g = mean_gradients(
            tensors(weights),
            context.loss,
            self.batches(context),
        )
        # |∂L/∂c_j| at c = 1
        return {key: np.abs(weight * g[key].numpy()) for key, weight in weights.items()}
