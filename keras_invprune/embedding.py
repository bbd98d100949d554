"""Outputs and embedding of a model from one forward pass."""

from collections.abc import Callable

import keras
from keras import ops

from keras_invprune.weights import (
    head_layers,
    is_graph,
    observed,
    symbolic_inputs,
    walk,
)

LISTED = 30  # the last layers of a model, which messages name

Embedder = Callable[..., tuple]


def embedder(model, embedding=None) -> Embedder:
    """Makes the function that returns a model's outputs and its embedding.

    Args:
        model: A built Keras 3 model.
        embedding: None for the input of the last Dense layer (Sequential and
            Functional models with one output); the path of a layer, whose
            output is taken, e.g. ``"encoder/pool"``; or a callable
            ``(model, inputs, training) -> (outputs, embedding)``.

    Returns:
        ``embed(inputs, training) -> (outputs, embedding)``, the embedding
        flattened to shape [batch, features].

    Raises:
        ValueError: The embedding must be named, or no layer has that name. The
            message lists the candidates.
    """
    if callable(embedding):
        return lambda inputs, training=None: embedding(model, inputs, training)
    if embedding is None:
        return _before_the_head(model)
    return _after_layer(model, embedding)


def _before_the_head(model) -> Embedder:
    heads = head_layers(model)
    several = len(getattr(model, "outputs", None) or ()) != 1
    # A head that is not in `layers` is inside a nested model.
    if several or not heads or heads[0] not in model.layers:
        raise ValueError(_must_be_named(model))
    if isinstance(model, keras.Sequential):
        twin = keras.Model(model.inputs[0], [model.outputs[0], heads[0].input])
    else:  # keeps dicts of inputs and outputs as they are
        twin = keras.Model(model.input, [model.output, heads[0].input])

    def embed(inputs, training=None):
        result, features = twin(inputs, training=training)
        return result, _flat(features)

    return embed


def _after_layer(model, path) -> Embedder:
    layers = dict(walk(model))
    if path not in layers or not path:
        raise ValueError(
            f"`embedding` names no layer of this model. Received: {path!r}. "
            f"Layers: {_candidates(model)}."
        )
    layer = _last_layer(layers[path], path)

    def embed(inputs, training=None):
        seen = []
        with observed([layer], lambda _, output: seen.append(output)):
            result = model(inputs, training=training)
        if not seen:
            raise ValueError(f"The model's call never reaches layer {path!r}.")
        return result, _flat(seen[-1])

    return embed


def _last_layer(layer, path):
    """`layer`, or the one it ends in: Keras takes no regularizer of an inner model."""
    while is_graph(layer):
        if isinstance(layer, keras.Sequential):
            layer = layer.layers[-1]
        else:
            operations = {operation.name: operation for operation in layer.operations}
            layer = operations[layer.output_names[0]]
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            f"`embedding` names a model that ends in an operation, {layer.name!r}, "
            f"which is no layer. Received: {path!r}. Name a layer inside it or after "
            "it, or give a callable (model, inputs, training) -> (outputs, embedding)."
        )
    return layer


def _flat(features):
    return ops.reshape(features, (ops.shape(features)[0], -1))


def _candidates(model) -> list[str]:
    return [path for path, _ in walk(model) if path][-LISTED:]


def _must_be_named(model) -> str:
    return (
        "The invariance objective needs an embedding, and for this model (several "
        "outputs, subclassed, or no Dense layer at its end) it must be named: "
        "`embedding=` the path of the layer whose output is the embedding, or a "
        "callable (model, inputs, training) -> (outputs, embedding). "
        f"Candidates: {_candidates(model)}."
    )


def input_structure(model):
    """Symbolic inputs of a built model as its call takes them; () if unknown."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input if is_graph(model) else symbolic_inputs(model)


def input_tensors(model) -> list:
    """Symbolic inputs of a built model, flat; none where Keras does not know them."""
    return keras.tree.flatten(input_structure(model))
