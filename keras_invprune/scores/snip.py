"""SNIP: how sensitive the loss is to each connection, before any training."""

import numpy as np

from keras_invprune.contracts import Arrays, ScoreContext
from keras_invprune.scores._gradients import mean_gradients, tensors
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("snip")
class Snip(OnExamples):
    """Ranks weights by ``|w · ∂L/∂w|``, the derivative of the loss by the mask at 1.

    Use it with ``schedule="at_init"``. The network runs in evaluation mode.

    Args:
        examples: See `OnExamples`.
        batch_size: See `OnExamples`.

    Example:
        >>> prune(model, 0.95, score="snip", schedule="at_init")  # doctest: +SKIP

    Source:
        Lee et al. 2019, SNIP: single-shot network pruning based on connection
        sensitivity (1810.02340). The scores are not divided by their sum, which would
        not change their order.
    """

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        g = mean_gradients(
            tensors(weights),
            context.loss,
            self.batches(context),
        )
        # |∂L/∂c_j| at c = 1
        return {key: np.abs(weight * g[key].numpy()) for key, weight in weights.items()}
