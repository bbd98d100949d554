"""Outputs and gradients of a network at weights that it does not have yet."""

import contextlib
from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf

from keras_invprune.contracts import Arrays, Nested, ScoreContext, Tensor
from keras_invprune.graph.prunable import head_layers


def tensors(weights: Arrays) -> dict:
    """``{key: tensor}`` from ``{key: array}``."""
    return {key: tf.convert_to_tensor(weight) for key, weight in weights.items()}


def outputs_at(
    context: ScoreContext,
    values: Mapping[str, Tensor],
    x: Nested,
    others: Iterable[tuple] = (),
):
    """Outputs in evaluation mode; no state changes.

    Args:
        context: Of the network.
        values: ``{key: tensor}`` in the place of the prunable weights.
        x: Inputs.
        others: Pairs (variable, tensor) in the place of further weights.
    """
    mapping = [(context.variables[key], value) for key, value in values.items()]
    with keras.StatelessScope([*mapping, *others]):
        return context.network(x, training=False)


def gradients(values: Mapping[str, Tensor], function: Callable) -> dict:
    """``{key: ∂ function(values) / ∂ value}``, zero where nothing depends on one."""
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
    """Gradients of ``function(values, batch)``, averaged over all rows of `batches`."""
    total, rows = dict.fromkeys(values, 0.0), 0
    for batch in batches:
        count = len(keras.tree.flatten(batch[0])[0])
        found = gradients(values, lambda v, batch=batch: function(v, batch))
        total = {key: total[key] + count * found[key] for key in values}
        rows += count
    return {key: value / rows for key, value in total.items()}


@contextlib.contextmanager
def heads_through(network: keras.Model, function: Callable):
    """The last Dense layers apply ``function(activation, logits)`` meanwhile."""
    heads = head_layers(network)
    own = [head.activation for head in heads]
    try:
        for head, activation in zip(heads, own, strict=True):
            head.activation = lambda x, activation=activation: function(activation, x)
        yield
    finally:
        for head, activation in zip(heads, own, strict=True):
            head.activation = activation


def logits_only(activation: Callable, logits: Tensor):
    """For `heads_through`: no softmax, no sigmoid."""
    del activation
    return logits
