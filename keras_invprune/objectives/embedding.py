"""Outputs and embedding of a model from one forward pass."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_invprune.graph.weights import head_layers, is_graph, kernels, observed, walk
from keras_invprune.saving import did_you_mean, near_names

PROPOSED = 3  # layers, in messages
ASSUMED = 256  # pixels, or steps, of inputs of any size

Embedder = Callable[..., tuple]


def embedder(model, embedding=None) -> Embedder:
    """Makes the function that returns a model's outputs and its embedding.

    Args:
        model: A built Keras 3 model.
        embedding: None for Sequential and Functional models with one output: the
            input of the last layer with a kernel, be it Dense or, as in MobileNet,
            a convolution; where the output is a map that was scaled up, as in a
            U-Net, the bottleneck, the last of the smallest maps. Or the path of a
            layer, whose output is taken, e.g. ``"encoder/pool"``; or a callable
            ``(model, inputs, training) -> (outputs, embedding)``.

    Returns:
        ``embed(inputs, training) -> (outputs, embedding)``, the embedding
        flattened to shape [batch, features].

    Raises:
        ValueError: If the embedding must be named, or no layer has that name. The
            message proposes layers.
    """
    if callable(embedding):
        return lambda inputs, training=None: embedding(model, inputs, training)
    if embedding is None:
        return _of_graph(model)
    return _after_layer(model, embedding)


def _of_graph(model) -> Embedder:
    """Outputs and embedding by a twin graph over the same layers."""
    features = _default(model)
    if features is None:
        raise ValueError(_must_be_named(model))
    if isinstance(model, keras.Sequential):
        twin = keras.Model(model.inputs[0], [model.outputs[0], features])
    else:  # keeps dicts of inputs and outputs as they are
        twin = keras.Model(model.input, [model.output, features])

    def embed(inputs, training=None):
        result, features = twin(inputs, training=training)
        return result, _flat(features)

    return embed


def _default(model):
    """The symbolic tensor that is the embedding; None where it is not clear."""
    if not is_graph(model) or len(model.outputs) != 1:
        return None
    heads = head_layers(model)
    if heads:  # a head that is not in `layers` is inside a nested model
        return heads[0].input if heads[0] in model.layers else None
    bottleneck = _bottleneck(model)
    return _before_last_kernel(model) if bottleneck is None else bottleneck


def _bottleneck(model):
    """The last of the smallest maps, if the output is a larger map; else None."""
    made = [_single(operation, "output") for operation in _operations(model)]
    made = [tensor for tensor in made if tensor is not None]
    positions = [int(np.prod(shape[1:-1])) for shape in _shapes(model, made)]
    if len(model.outputs[0].shape) < 3 or min(positions) == positions[-1]:
        return None
    sizes = [
        (count, 0 if len(tensor.shape) > 2 else tensor.shape[-1])
        for count, tensor in zip(positions, made, strict=True)
    ]
    smallest = max(i for i, size in enumerate(sizes) if size == min(sizes))
    return made[smallest]


def _shapes(model, tensors):
    """Their shapes; where the model takes any size, for inputs of one that is large."""
    if all(None not in tensor.shape[1:] for tensor in tensors):
        return [tensor.shape for tensor in tensors]
    inputs = [
        keras.KerasTensor([size or ASSUMED for size in tensor.shape], tensor.dtype)
        for tensor in model.inputs
    ]
    outputs = keras.Model(model.inputs, tensors).compute_output_spec(inputs)
    return [tensor.shape for tensor in outputs]


def _before_last_kernel(model):
    """The input of the layer that makes the output, not counting those without kernel.

    None where several tensors are joined behind it, or where it is a nested model.
    """
    for operation in reversed(_operations(model)):
        read = _single(operation, "input")
        if is_graph(operation) or read is None:
            return None
        if isinstance(operation, keras.layers.Layer) and kernels(operation):
            return read
    return None


def _operations(model) -> list:
    """The layers and operations of a graph, in an order in which they can be called."""
    return keras.Model(model.inputs, model.outputs).operations


def _single(operation, side):
    """Its only "input" or "output"; None for several, or if it is called again."""
    with contextlib.suppress(AttributeError, ValueError):
        tensor = getattr(operation, side)
        return tensor if isinstance(tensor, keras.KerasTensor) else None


def _after_layer(model, path) -> Embedder:
    layers = dict(walk(model))
    if path not in layers or not path:
        known = [name for name in layers if name]
        hint = did_you_mean(near_names(path, known, n=PROPOSED))
        hint = hint or f" The last ones are {_candidates(model)}."
        raise ValueError(
            f"`embedding` names no layer of this model. Received: {path!r}.{hint}"
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
    """The last layers with weights, or that pool, before the heads."""
    heads = {id(layer) for layer in head_layers(model)}
    paths = [
        path
        for path, layer in walk(model)
        if path and id(layer) not in heads and (layer.weights or "Pool" in _kind(layer))
    ]
    return paths[-PROPOSED:]


def _kind(layer) -> str:
    return type(layer).__name__


def _must_be_named(model) -> str:
    return (
        "The invariance objective needs an embedding, and which one is not clear for "
        "this model (several outputs, subclassed, or several tensors joined at its "
        "end). It must be named: `embedding=` the path of the layer whose output is "
        "the embedding, or a callable (model, inputs, training) -> (outputs, "
        f"embedding). Candidates: {_candidates(model)}."
    )
