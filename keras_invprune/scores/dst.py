"""Dynamic sparse training: thresholds are learned with the weights."""

import keras
import numpy as np
from keras import ops

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
    """``|w| - t``, t a threshold for each unit that is learned with the weights.

    In training, layers read ``w · 1[|w| > t]``: what is below its threshold is off, and
    may come back. The step has a surrogate gradient with a long tail. α times the sum
    of ``exp(-t)`` is added to the loss and raises the thresholds. In the paper α alone
    decides how sparse the network becomes; here the weights furthest above their
    thresholds stay, as many as the sparsity says. In evaluation, until then, nothing is
    off. With ``schedule="one_shot"``.

    A unit is the last axis of a weight: a unit of a Dense layer, a filter of a
    convolution.

    Args:
        penalty: α ≥ 0.

    Source:
        Liu et al. 2020, Dynamic sparse training: find efficient sparse network from
        scratch with trainable masked layers (2005.06870), section 3: the thresholds of
        a masked layer, the long-tailed estimator and the sparse regularization term.
        The authors' code also sets the thresholds of a layer that has lost 99 % of its
        weights back to zero, which is left out.
    """

    updates = "one"  # the thresholds of what is masked would stand still
    learns = True
    suits = {"schedule": "one_shot"}

    def __init__(self, penalty: float = 1e-5):
        if not penalty >= 0:
            raise ValueError(f"`penalty` must be >= 0. Received: penalty={penalty}.")
        self.penalty = penalty
        self.effective = Thresholded(penalty)

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: |w| - t}``; low scores are pruned first.

        Raises:
            ValueError: Before the first step.
        """
        thresholds = learned(context, "DST")
        return {key: np.abs(w) - thresholds[key] for key, w in weights.items()}


@keras.saving.register_keras_serializable(package="keras_invprune")
class Thresholded(Configured, Effective):
    """w' = w · m · S(|w| - t), S the unit step.

    Args:
        alpha: Weight of the penalty.
    """

    def __init__(self, alpha: float = 0.0):
        self.alpha = alpha

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable):
        """Makes the thresholds, zero at first."""
        return (
            layer.add_weight(
                name=f"{name}_threshold",
                shape=variable.shape[-1:],
                initializer="zeros",
                dtype=variable.dtype,
                autocast=False,
            ),
        )

    def __call__(self, weight: Tensor, mask: Tensor, threshold: Tensor):
        """Returns the product."""
        return weight * mask * step(ops.abs(weight) - threshold)

    def penalty(self, weight: Tensor, mask: Tensor, threshold: Tensor):
        """Returns α · Σ exp(-t)."""
        del weight, mask
        return self.alpha * ops.sum(ops.exp(-ops.cast(threshold, "float32")))


def step(x: Tensor):
    """Returns 1 where x > 0, with `slope` for its gradient."""
    surrogate = x * ops.stop_gradient(slope(x))
    return ops.cast(x > 0, x.dtype) + (surrogate - ops.stop_gradient(surrogate))


def slope(x: Tensor):
    """Returns 2 - 4|x| up to |x| = 0.4, 0.4 from there to 1, and 0 beyond."""
    size = ops.abs(x)
    return ops.where(size <= 1.0, ops.maximum(2 - 4 * size, 0.4), 0.0)
