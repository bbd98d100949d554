"""SR-STE: masked weights continue to learn and are pulled towards zero."""

import keras
from keras import ops

from keras_invprune.arguments import is_number
from keras_invprune.contracts import Arrays, Effective, Score, ScoreContext, Tensor
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores.magnitude import magnitude


@known_as("sr_ste")
class SRSTE(Score):
    """Ranks weights by ``|w|``, while masked weights get the gradient of w' = m w.

    Under plain SGD, ``w ← w - η (∂L/∂w' + λ_W (1 - m) w)``. Other optimizers make their
    own steps from this gradient; Adam's scaling cancels the decay. With
    ``schedule=Rewire(sparsity, every=1, until=...)`` the masks follow the weights, as
    in the paper. With "gradual" they do so until the target sparsity is reached. Use it
    with `NByM` or any other pattern.

    Args:
        decay: The weight decay λ_W ≥ 0 of masked weights. Large values keep the masks
            from oscillating.

    Source:
        Zhou et al. 2021, Learning N:M fine-grained structured sparse neural networks
        from scratch (2102.04010), eq. 9.
    """

    updates = "several"  # with one update, no masked weight would learn

    def __init__(self, decay: float = 2e-4):
        if not (is_number(decay) and decay >= 0):
            raise ValueError(
                f"`decay` must be a number >= 0. Received: decay={decay!r}."
            )
        self.decay = float(decay)
        self.effective = StraightThrough(self.decay)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        return magnitude(weights, context)


@keras.saving.register_keras_serializable(package="keras_invprune")
class StraightThrough(Configured, Effective):
    """The effective weight w' = w · m, with the gradient of w; masked weights decay.

    Args:
        decay: The weight decay λ_W ≥ 0 of masked weights.
    """

    def __init__(self, decay: float = 0.0):
        self.decay = float(decay)

    def __call__(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Return w', with ∂w'/∂w = 1."""
        hidden = weight * (1.0 - mask)
        return weight * mask + hidden - ops.stop_gradient(hidden)

    def penalty(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Return λ_W / 2 · Σ ((1 - m) w)², whose gradient is the decay."""
        hidden = ops.cast(weight * (1.0 - mask), "float32")
        return 0.5 * self.decay * ops.sum(ops.square(hidden))
