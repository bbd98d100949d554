"""Optimal Brain Damage: the loss's own curvature at each weight."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Arrays, ScoreContext, Tensor
from keras_invprune.scores._gradients import (
    gradients,
    heads_through,
    outputs_at,
    tensors,
)
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples

FLAT = 1e-7  # share of the largest curvature, below which a direction is left out


@known_as("obd")
class OptimalBrainDamage(OnExamples):
    """Ranks weights by ``½ h w²``, h the diagonal of the Gauss-Newton matrix.

    h = E[Σ_kl ∂z_k/∂w · ∂²L/∂z_k∂z_l · ∂z_l/∂w], where z are the inputs of the last
    activations (logits) and the mean is over examples. The full Hessian's diagonal has
    one more term, Σ_k ∂L/∂z_k · ∂²z_k/∂w². It is zero where logits are piecewise linear
    in each single weight. Hence h is the exact diagonal of the Hessian, except at
    kinks, in feed-forward networks of Dense, convolutional, pooling and normalization
    layers with ReLU or another piecewise linear activation. For others it leaves out
    the term that could be negative. Cross terms between two weights are left out in any
    case.

    It takes a backward pass for each example and logit, ten times as many as "fisher"
    for ten classes. Use it for a trained network, which runs in evaluation mode. The
    last Dense layers make the logits, and what reaches the loss by other paths is not
    seen. In a network that does not end in Dense layers, h is E[(∂L/∂w)²], as in
    "fisher".

    Args:
        examples: See `OnExamples`.

    Source:
        LeCun, Denker and Solla 1990, Optimal brain damage, equations 3 to 5. Its
        recursion (equation 6) also leaves out the cross terms between units of a layer,
        and ours does not. Leaving out the second term is its Levenberg-Marquardt
        approximation.
    """

    def __init__(self, examples: int | tuple = 128):
        super().__init__(examples, batch_size=1)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        values, total, count = tensors(weights), dict.fromkeys(weights, 0.0), 0
        for row in self.batches(context):
            h = _curvature(context, values, row)
            total = {key: total[key] + h[key] for key in weights}
            count += 1
        # s_k = ½ h_kk u_k²
        return {k: 0.5 * w**2 * (total[k] / count) for k, w in weights.items()}


def _curvature(context: ScoreContext, values: Mapping[str, Tensor], row: tuple) -> dict:
    """Return ``{key: h}`` of one example."""
    logits: list = []

    def noted(activation: Callable, z: Tensor) -> Tensor:
        logits.append(z)
        return activation(z)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        with heads_through(context.network, noted):
            outputs_at(context, values, row[0])
        flat = [tf.reshape(tf.cast(one, "float32"), [-1]) for one in logits]
        z = tf.concat(flat, 0) if flat else None
    if z is None:
        g = gradients(values, lambda v: context.loss(v, row))
        return {key: each.numpy() ** 2 for key, each in g.items()}
    h = {key: np.zeros(value.shape, np.float32) for key, value in values.items()}
    # ∂²L/∂z² = Σ λ u uᵀ, hence h = Σ λ (uᵀ ∂z/∂w)²
    curvatures, directions = np.linalg.eigh(_of_loss(context, values, row, logits))
    steepest = np.abs(curvatures).max()
    for curvature, direction in zip(curvatures, directions.T, strict=True):
        if abs(curvature) > FLAT * steepest:
            slopes = _along(tape, z, values, direction)
            size = np.float32(curvature)
            h = {key: h[key] + size * slopes[key] ** 2 for key in h}
    return h


def _along(
    tape: tf.GradientTape,
    z: Tensor,
    values: Mapping[str, Tensor],
    direction: np.ndarray,
) -> dict:
    """Return ``{key: uᵀ ∂z/∂w}``."""
    u = tf.constant(direction, z.dtype)
    found = tape.gradient(z, values, u, unconnected_gradients="zero")
    return {key: tf.convert_to_tensor(each).numpy() for key, each in found.items()}


def _of_loss(
    context: ScoreContext, values: Mapping, row: tuple, logits: list[Tensor]
) -> np.ndarray:
    """Return ∂²L/∂z², [all logits, all logits]; shifts take the place of the logits."""
    sizes = [int(tf.size(one)) for one in logits]
    shifts = tf.zeros(sum(sizes))
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(shifts)
        with tf.GradientTape() as inner:
            inner.watch(shifts)
            parts = iter(tf.split(shifts, sizes))

            def shifted(activation: Callable, z: Tensor) -> Tensor:
                shift = tf.reshape(next(parts), tf.shape(z))
                return activation(z + tf.cast(shift, z.dtype))

            with heads_through(context.network, shifted):
                loss = context.loss(values, row)
        slope = inner.gradient(loss, shifts)
    lines = [
        outer.gradient(slope, shifts, one, unconnected_gradients="zero")
        for one in tf.eye(sum(sizes))
    ]
    return np.array(lines, np.float64)
