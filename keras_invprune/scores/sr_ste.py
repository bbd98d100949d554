"""SR-STE: masked weights learn on, and are drawn to zero."""

import keras
from keras import ops

from keras_invprune.contracts import Arrays, Effective, Score, ScoreContext, Tensor
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores.magnitude import magnitude


@known_as("sr_ste")
class SRSTE(Score):
    """``|w|``, where masked weights get the gradient of what they would contribute.

    ``w ← w - η (∂L/∂w' + λ_W (1 - m) w)``, w' = m w, under plain SGD; other optimizers
    make their own step of this gradient (Adam scales the decay away). With
    ``schedule=Rewire(sparsity, every=1, until=...)`` the masks follow the weights, as
    in the paper; with "gradual" until the target sparsity. For `NByM`, and any other
    pattern.

    Args:
        decay: λ_W ≥ 0: large values keep the masks from changing to and fro.

    Source:
        Zhou et al. 2021, Learning N:M fine-grained structured sparse neural networks
        from scratch (2102.04010), eq. 9.
    """

    updates = "several"  # under one, nothing that was masked would learn

    def __init__(self, decay: float = 2e-4):
        if not decay >= 0:
            raise ValueError(f"`decay` must be >= 0. Received: decay={decay}.")
        self.decay = decay
        self.effective = StraightThrough(decay)

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: array}``; low scores are pruned first."""
        return magnitude(weights, context)


@keras.saving.register_keras_serializable(package="keras_invprune")
class StraightThrough(Configured, Effective):
    """w' = w · m, with the gradient of w; what is masked decays.

    Args:
        decay: λ_W.
    """

    def __init__(self, decay: float = 0.0):
        self.decay = decay

    def __call__(self, weight: Tensor, mask: Tensor):
        """The product; ∂w'/∂w = 1."""
        hidden = weight * (1.0 - mask)
        return weight * mask + hidden - ops.stop_gradient(hidden)

    def penalty(self, weight: Tensor, mask: Tensor):
        """λ_W / 2 · Σ ((1 - m) w)², whose gradient is the decay."""
        hidden = ops.cast(weight * (1.0 - mask), "float32")
        return 0.5 * self.decay * ops.sum(ops.square(hidden))
