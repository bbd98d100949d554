"""Taylor: the squared first-order change of the loss."""

import numpy as np

from keras_invprune.contracts import Arrays, ScoreContext
from keras_invprune.scores._gradients import gradients, tensors
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("taylor")
class Taylor(OnExamples):
    """Ranks weights by ``E[(w · ∂L/∂w)²]``, the mean over batches.

    Use it for a trained network, for units as well as single weights. The network runs
    in evaluation mode.

    Args:
        examples: See `OnExamples`.
        batch_size: Number of rows over which gradients are averaged before squaring.

    Source:
        Molchanov et al. 2019, Importance estimation for neural network pruning
        (1906.10771), the first-order criterion.
    """

    def __init__(self, examples: int | tuple = 128, batch_size: int = 32):
        super().__init__(examples, batch_size)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        values, found = tensors(weights), []
        for batch in self.batches(context):
            g = gradients(values, lambda v, batch=batch: context.loss(v, batch))
            found.append({k: (w * g[k].numpy()) ** 2 for k, w in weights.items()})
        return {key: np.mean([one[key] for one in found], axis=0) for key in weights}
