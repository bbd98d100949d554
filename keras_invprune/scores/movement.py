"""Movement: weights that move towards zero are pruned."""

import keras
from keras import ops

from keras_invprune.contracts import Arrays, Effective, Score, ScoreContext, Tensor
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores._learned import learned


@known_as("movement")
class Movement(Score):
    """Ranks weights by their movement away from zero, ``S = -α Σ w · ∂L/∂w'``.

    The sum is over the training steps, and w' is the effective weight. S is a trainable
    tensor for each weight, updated by the compiled optimizer. Plain SGD with learning
    rate α yields the sum above; weight decay pulls S towards 0. Masked weights keep
    their values and their S still learns, so that they may return until the target
    sparsity is reached. Use it for pretrained networks with ``schedule="gradual"``.

    Source:
        Sanh, Wolf and Rush 2020, Movement pruning (2005.07683), section 3.
    """

    learns = True
    suits = {"schedule": "gradual"}

    def __init__(self) -> None:
        self.effective = MovementWeight()

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: S}``; low scores are pruned first.

        Raises:
            ValueError: If no training step has been made.
        """
        del weights
        return learned(context, "Movement")


@keras.saving.register_keras_serializable(package="keras_invprune")
class MovementWeight(Configured, Effective):
    """The effective weight w' = w · m, with S instead of m in the gradient."""

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable) -> tuple:
        """Create S, which starts at zero."""
        return (
            layer.add_weight(
                name=f"{name}_movement",
                shape=variable.shape,
                initializer="zeros",
                dtype=variable.dtype,
                autocast=False,
            ),
        )

    def __call__(self, weight: Tensor, mask: Tensor, scores: Tensor) -> Tensor:
        """Return w', with ∂w'/∂S = w straight through the choice of the mask."""
        surrogate = scores - ops.stop_gradient(scores)  # its value is zero
        return weight * mask + ops.stop_gradient(weight) * surrogate
