"""Cheap scores of a network before training, as features of a second predictor."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.graph.weights import walk
from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent.kernel import tangent_kernel
from keras_invprune.scores.snip import Snip
from keras_invprune.scores.synflow import SynFlow
from keras_invprune_lab.structure.columns import PROXY

ROWS = 32
"""Rows of the tangent kernel: half of them against the other half."""

PROXIES = tuple(
    PROXY + name for name in ("synflow", "snip", "tangent_norm", "tangent_distance")
)
"""The names of the cheap scores, in the order of `proxies`."""


def proxies(
    model: keras.Model, x: np.ndarray, y: np.ndarray, loss: keras.losses.Loss | str
) -> dict[str, float]:
    """Return the cheap scores of an untrained network, as ``{name: value}``.

    - ``proxy_synflow``: log Σ |θ · ∂R/∂|θ||, without data (`scores.synflow`).
    - ``proxy_snip``: log Σ |w · ∂L/∂w| on all rows (`scores.snip`).
    - ``proxy_tangent_norm``: log of the root mean square of the tangent kernel Θ of
      `ROWS` rows, with the outputs averaged: Θ(a, b) = mean_c Θ(a, b)_cc.
    - ``proxy_tangent_distance``: 1 - ⟨Θ', K'⟩ / (‖Θ'‖ ‖K'‖), in [0, 2], the distance of
      Θ to the kernel of the labels K = Y Yᵀ, where ' is centered. It is 0 if rows of
      one class move together and those of others do not.

    Both sums go over the weights that may be pruned, so the head is left out. They say
    nothing about a network without any.

    Args:
        model: A built Keras model with one output, [rows, classes]. It is not changed.
        x: Inputs, [rows, ...], four rows or more. The first `ROWS` are those of Θ.
        y: Labels, [rows] or one-hot [rows, classes], as `loss` reads them.
        loss: Of logits or probabilities, whatever the model returns.

    Raises:
        ValueError: If rows are few or do not match, or if the rows of Θ have one class.

    Source:
        Tanaka et al. 2020 (2006.05467); Lee et al. 2019 (1810.02340); for the distance,
        Cortes, Mohri and Rostamizadeh 2012, Algorithms for learning kernels based on
        centered alignment, JMLR 13, definition 4.
    """
    labels = _labels(x, y)
    fixed = _of_shape(model, x)
    pruned = prune(fixed, 0.5, score="snip", schedule="at_init")
    pruned.compile(loss=loss)
    context = pruned.score_context()
    weights = {key: v.numpy() for key, v in context.variables.items()}
    flow = SynFlow(rounds=1).rank(weights, context)
    sensitivity = Snip(examples=(x, y)).rank(weights, context)
    kernel = _kernel(fixed, x[: 2 * (len(labels) // 2)])
    first, second = np.split(labels[: 2 * (len(labels) // 2)], 2)
    values = (
        logarithm(sum(float(np.abs(score).sum()) for score in flow.values())),
        logarithm(sum(float(np.abs(score).sum()) for score in sensitivity.values())),
        logarithm(float(np.sqrt(np.mean(kernel**2)))),
        1 - alignment(kernel, first @ second.T),
    )
    return dict(zip(PROXIES, values, strict=True))


def alignment(one: np.ndarray, other: np.ndarray) -> float:
    """Return the centered alignment of two kernels of the same shape, in [-1, 1].

    Rows and columns may be different examples. A kernel that is constant along its
    rows or columns is aligned with nothing: 0.
    """
    a, b = (k - k.mean(0) - k.mean(1, keepdims=True) + k.mean() for k in (one, other))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.sum(a * b) / norms) if norms > 1e-12 * scale else 0.0


def _labels(x, y) -> np.ndarray:
    """Return one-hot labels of the rows of Θ."""
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(
            "Cheap scores need four rows or more, and a label for each. Received: "
            f"{len(x)} rows and {len(y)} labels."
        )
    part = np.asarray(y)[:ROWS]
    if part.ndim > 1 and part.shape[-1] > 1:
        found = part.reshape(len(part), -1).astype("float64")
    else:
        part = part.reshape(len(part))
        found = (part[:, None] == np.unique(part)).astype("float64")
    if not np.ptp(found, axis=0).any():
        raise ValueError(
            "The distance to the labels needs rows of two classes or more among the "
            f"first {ROWS}. Received: one class. Shuffle the rows."
        )
    return found


def _of_shape(model, x) -> keras.Model:
    """Return the model for inputs of the rows' shape, with the same weights.

    SynFlow takes one step where the length is not known, which would leave out what
    recurrent weights do.
    """
    if None not in model.input_shape[1:]:
        return model
    inputs = keras.Input(x.shape[1:], dtype=model.inputs[0].dtype)
    return keras.Model(inputs, model(inputs))


def _kernel(model, x) -> np.ndarray:
    """Return Θ of the first half of the rows against the second, [half, half]."""
    loops = any(
        isinstance(layer, keras.layers.RNN) and not layer.unroll
        for _, layer in walk(model)
    )
    if loops:  # TensorFlow cannot differentiate them as often as `tangent_kernel` needs
        return kernel_by_rows(model, x)
    _, kernel = tangent_kernel(model, tf.convert_to_tensor(x))
    return np.einsum("abcc->ab", np.asarray(kernel, "float64")) / kernel.shape[-1]


def kernel_by_rows(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the same kernel from the gradients of each output of each row.

    It works with any layers, and takes a backward pass for each row and output.

    Args:
        model: A built Keras model with one output, [rows, classes].
        x: An even number of rows.

    Returns:
        [rows / 2, rows / 2], averaged over the outputs.
    """
    weights = model.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        outputs = tf.convert_to_tensor(model(x, training=False))
    rows, classes = outputs.shape
    values = [weight.value for weight in weights]
    total = np.zeros((rows // 2, rows // 2))
    for column in range(classes):
        jacobian = []
        for row in range(rows):
            unit = tf.scatter_nd(
                [[row, column]], [tf.ones((), outputs.dtype)], outputs.shape
            )
            found = tape.gradient(outputs, values, unit, unconnected_gradients="zero")
            parts = [tf.reshape(tf.convert_to_tensor(g), [-1]) for g in found]
            jacobian.append(tf.concat(parts, 0).numpy().astype("float64"))
        first, second = np.split(np.array(jacobian), 2)
        total += first @ second.T
    return total / classes


def logarithm(value: float) -> float:
    """Return the logarithm; below and above all positive floats, that of the nearest.

    Args:
        value: 0 or more, infinity included.
    """
    limits = np.finfo("float32")
    return float(np.log(np.clip(value, limits.tiny, limits.max)))
