"""Fisher information: the second-order cost of removing a weight."""

from keras_invprune.contracts import Arrays, ScoreContext
from keras_invprune.scores._gradients import gradients, tensors
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("fisher")
class Fisher(OnExamples):
    """Optimal Brain Damage with the empirical Fisher diagonal: ``½ w² · E[(∂L/∂w)²]``.

    The mean is over single examples, each of which takes its own backward pass. Use it
    for a trained network, which runs in evaluation mode.

    Args:
        examples: See `OnExamples`.

    Source:
        LeCun, Denker and Solla 1990, Optimal brain damage. In its saliency, the
        Hessian's diagonal h_kk is replaced by that of the Fisher information, as in
        Theis et al. 2018, Faster gaze prediction (1801.05787).
    """

    def __init__(self, examples: int | tuple = 128):
        super().__init__(examples, batch_size=1)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        values, squares, count = tensors(weights), dict.fromkeys(weights, 0.0), 0
        for batch in self.batches(context):
            g = gradients(values, lambda v, batch=batch: context.loss(v, batch))
            squares = {key: squares[key] + g[key].numpy() ** 2 for key in weights}
            count += 1
        # s_k = ½ h_kk u_k²
        return {k: 0.5 * w**2 * (squares[k] / count) for k, w in weights.items()}
