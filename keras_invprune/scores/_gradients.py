"""Outputs, loss and gradients of a pruned model at weights it does not have yet."""

import contextlib

import keras
import tensorflow as tf

from keras_invprune.graph.prunable import head_layers


def check_keras_3(model):
    """Raises TypeError unless `model` is a `PrunedModel`."""
    if not hasattr(model, "masked"):
        raise TypeError(
            "This score looks into the network, which is done for Keras 3 models only. "
            f"Received: {type(model).__name__}. Use 'magnitude', 'random' or your own "
            "callable."
        )


def tensors(weights) -> dict:
    """``{key: tensor}`` from ``{key: array}``."""
    return {key: tf.convert_to_tensor(weight) for key, weight in weights.items()}


def outputs_at(model, values, x, others=()):
    """Outputs in evaluation mode; no state changes.

    Args:
        model: `PrunedModel`.
        values: ``{key: tensor}`` in the place of the prunable weights.
        x: Inputs.
        others: Pairs (variable, tensor) in the place of further weights.
    """
    check_keras_3(model)
    prunable = model.masked.prunable
    mapping = [(prunable[key], value) for key, value in values.items()]
    with keras.StatelessScope([*mapping, *others]):
        return model.inner(x, training=False)


def loss_at(model, values, batch):
    """The compiled loss, mean over the rows of ``batch = (x, y, sample_weight)``.

    Raises:
        ValueError: The model has not been compiled, or there are no labels.
    """
    if not model.compiled:
        raise ValueError("This score needs the loss: compile the model first.")
    x, y, sample_weight = batch
    if y is None and model.loss is not None:  # else Keras says what is missing
        raise ValueError(
            "This score reads labels, and was given none. Give fit(x, y), or the score "
            "its examples=(x, y); 'logit_snip', 'synflow' and 'magnitude' read none."
        )
    outputs = outputs_at(model, values, x)
    # Neither counts in the metrics of several losses nor sees what a step has left.
    with keras.StatelessScope([(v, v.value) for v in model.trainable_variables]):
        return model.compute_loss(
            x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=False
        )


def gradients(values, function) -> dict:
    """``{key: ∂ function(values) / ∂ value}``, zero where nothing depends on one."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(values)
    found = tape.gradient(result, values, unconnected_gradients="zero")
    return keras.tree.map_structure(
        tf.convert_to_tensor, found
    )  # Embedding's is sparse


def mean_gradients(values, function, batches) -> dict:
    """Gradients of ``function(values, batch)``, averaged over all rows of `batches`."""
    total, rows = dict.fromkeys(values, 0.0), 0
    for batch in batches:
        count = len(keras.tree.flatten(batch[0])[0])
        found = gradients(values, lambda v, batch=batch: function(v, batch))
        total = {key: total[key] + count * found[key] for key in values}
        rows += count
    return {key: value / rows for key, value in total.items()}


@contextlib.contextmanager
def heads_through(model, function):
    """The last Dense layers apply ``function(activation, logits)`` meanwhile."""
    heads = head_layers(model.inner)
    own = [head.activation for head in heads]
    try:
        for head, activation in zip(heads, own, strict=True):
            head.activation = lambda x, activation=activation: function(activation, x)
        yield
    finally:
        for head, activation in zip(heads, own, strict=True):
            head.activation = activation


def logits_only(activation, logits):
    """For `heads_through`: no softmax, no sigmoid."""
    del activation
    return logits
