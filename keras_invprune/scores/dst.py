"""Dynamic sparse training: thresholds are learned with the weights."""

import keras
import numpy as np
from keras import ops

from keras_invprune.arguments import is_number
from keras_invprune.contracts import (
    Arrays,
    Effective,
    Score,
    ScoreContext,
    Tensor,
)
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores._learned import learned


@known_as("dst")
class DST(Score):
    """Ranks weights by ``|w| - t``, with a threshold t for each unit that is learned.

    During training, layers read ``w · 1[|w| > t]``: weights below their threshold are
    off and may return. The step function has a surrogate gradient with a long tail. A
    penalty, α times the sum of ``exp(-t)``, is added to the loss and raises the
    thresholds. In the paper, α alone determines the sparsity. Here the given sparsity
    determines how many weights are kept: those furthest above their thresholds. Before
    pruning, no weight is off in evaluation. Use it with ``schedule="one_shot"``.

    A unit is an index of a weight's last axis: a unit of a Dense layer, or a filter of
    a convolution.

    Args:
        penalty: The weight α ≥ 0 of the penalty.

    Source:
        Liu et al. 2020, Dynamic sparse training: find efficient sparse network from
        scratch with trainable masked layers (2005.06870), section 3: the thresholds of
        a masked layer, the long-tailed estimator and the sparse regularization term.
        The authors' code also resets the thresholds of a layer to zero when it has lost
        99 % of its weights. This is not implemented.
    """

    updates = "one"  # the thresholds of masked weights would not learn
    learns = True
    suits = {"schedule": "one_shot"}

    def __init__(self, penalty: float = 1e-5):
        if not (is_number(penalty) and penalty >= 0):
            raise ValueError(
                f"`penalty` must be a number >= 0. Received: penalty={penalty!r}."
            )
        self.penalty = float(penalty)
        self.effective = Thresholded(self.penalty)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: |w| - t}``; low scores are pruned first.

        Raises:
            ValueError: If no training step has been made.
        """
        thresholds = learned(context, "DST")
        return {key: np.abs(w) - thresholds[key] for key, w in weights.items()}


@keras.saving.register_keras_serializable(package="keras_invprune")
class Thresholded(Configured, Effective):
    """The effective weight w' = w · m · S(|w| - t), where S is the unit step.

    Args:
        alpha: The weight α ≥ 0 of the penalty.
    """

    def __init__(self, alpha: float = 0.0):
        self.alpha = float(alpha)

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable) -> tuple:
        """Create the thresholds, which start at zero."""
        return (
            layer.add_weight(
                name=f"{name}_threshold",
                shape=variable.shape[-1:],
                initializer="zeros",
                dtype=variable.dtype,
                autocast=False,
            ),
        )

    def __call__(self, weight: Tensor, mask: Tensor, threshold: Tensor) -> Tensor:
        """Return w'."""
        return weight * mask * step(ops.abs(weight) - threshold)

    def penalty(self, weight: Tensor, mask: Tensor, threshold: Tensor) -> Tensor:
        """Return α · Σ exp(-t)."""
        del weight, mask
        return self.alpha * ops.sum(ops.exp(-ops.cast(threshold, "float32")))


def step(x: Tensor) -> Tensor:
    """Return 1 where x > 0, else 0. Its gradient is `slope`."""
    surrogate = x * ops.stop_gradient(slope(x))
    return ops.cast(x > 0, x.dtype) + (surrogate - ops.stop_gradient(surrogate))


def slope(x: Tensor) -> Tensor:
    """Return 2 - 4|x| for |x| ≤ 0.4, 0.4 up to |x| = 1, and 0 beyond."""
    size = ops.abs(x)
    return ops.where(size <= 1.0, ops.maximum(2 - 4 * size, 0.4), 0.0)
