"""Movement: weights that move towards zero are pruned."""

import keras
from keras import ops

from keras_invprune.contracts import Arrays, Effective, Score, ScoreContext, Tensor
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores._learned import learned


@known_as("movement")
class Movement(Score):
    """``S = -α Σ w · ∂L/∂w'`` over the steps of training, w' the effective weight.

    S is a trainable tensor beside each weight, which the compiled optimizer moves;
    plain SGD gives the sum above, and weight decay draws S to zero. What is masked
    keeps its value and its S goes on, so that it may come back until the target
    sparsity is reached. For pretrained networks, with ``schedule="gradual"``.

    Source:
        Sanh, Wolf and Rush 2020, Movement pruning (2005.07683), section 3.
    """

    learns = True
    suits = {"schedule": "gradual"}

    def __init__(self):
        self.effective = MovementWeight()

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: S}``; low scores are pruned first.

        Raises:
            ValueError: Before the first step.
        """
        del weights
        return learned(context, "Movement")


@keras.saving.register_keras_serializable(package="keras_invprune")
class MovementWeight(Configured, Effective):
    """w' = w · m, where S stands in m's place for the gradient."""

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable):
        """S, zero at first."""
        return (
            layer.add_weight(
                name=f"{name}_movement",
                shape=variable.shape,
                initializer="zeros",
                dtype=variable.dtype,
                autocast=False,
            ),
        )

    def __call__(self, weight: Tensor, mask: Tensor, scores: Tensor):
        """The product; ∂w'/∂S = w, straight through the choice of the mask."""
        surrogate = scores - ops.stop_gradient(scores)  # zero
        return weight * mask + ops.stop_gradient(weight) * surrogate
