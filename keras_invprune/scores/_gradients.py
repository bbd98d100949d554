"""Evaluates a network's outputs and gradients at candidate weights."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from keras_invprune.contracts import Arrays, Nested, ScoreContext, Tensor
from keras_invprune.graph.observe import activations_through
from keras_invprune.graph.prunable import head_layers


def tensors(weights: Arrays) -> dict:
    """Convert ``{key: array}`` to ``{key: tensor}``."""
    return {key: tf.convert_to_tensor(weight) for key, weight in weights.items()}


def outputs_at(
    context: ScoreContext,
    values: Mapping[str, Tensor],
    x: Nested,
    others: Iterable[tuple] = (),
) -> Nested:
    """Return the outputs in evaluation mode; no state changes.

    Args:
        context: The context of the network.
        values: ``{key: tensor}`` to use instead of the prunable weights.
        x: Inputs.
        others: Pairs (variable, tensor) that replace other weights.
    """
    mapping = [(context.variables[key], value) for key, value in values.items()]
    with keras.StatelessScope([*mapping, *others]):
        return context.network(x, training=False)


def gradients(values: Mapping[str, Tensor], function: Callable) -> dict:
    """Return ``{key: ∂ function(values) / ∂ value}``, zero for unconnected values."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(values)
    found = tape.gradient(result, values, unconnected_gradients="zero")
    return keras.tree.map_structure(
        tf.convert_to_tensor, found
    )  # Embedding's is sparse


def mean_gradients(
    values: Mapping[str, Tensor], function: Callable, batches: Iterable[tuple]
) -> dict:
    """Return the gradients of ``function(values, batch)``, averaged over all rows."""
    total, rows = dict.fromkeys(values, 0.0), 0
    for batch in batches:
        count = len(keras.tree.flatten(batch[0])[0])
        found = gradients(values, lambda v, batch=batch: function(v, batch))
        total = {key: total[key] + count * found[key] for key in values}
        rows += count
    return {key: value / rows for key, value in total.items()}


def heads_through(
    network: keras.Model, function: Callable[[Callable, Tensor], Tensor]
) -> AbstractContextManager[None]:
    """Make the heads apply ``function(activation, logits)`` inside the context."""
    return activations_through(head_layers(network), function)


def logits_only(activation: Callable, logits: Tensor) -> Tensor:
    """Return the logits, without softmax or sigmoid; for use in `heads_through`."""
    del activation
    return logits
