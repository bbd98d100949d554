"""Gets the outputs and the embedding of a model from one forward pass."""

import logging
from collections.abc import Iterable, Sequence

import keras
from keras import ops

from keras_invprune.contracts import Embedder, Nested, Tensor
from keras_invprune.graph.bottleneck import UnclearError, bottleneck, code
from keras_invprune.graph.observe import observed
from keras_invprune.graph.prunable import head_layers
from keras_invprune.graph.trace import Step, traced, unfolded
from keras_invprune.graph.weights import is_graph, kernels, walk, weights_by_key
from keras_invprune.saving import did_you_mean, near_names

PROPOSED = 3  # number of layers that a message proposes
ASSUMED = 256  # pixels or steps to assume for inputs of unknown size

logger = logging.getLogger("keras_invprune")


def embedder(model: keras.Model, embedding: str | Embedder | None = None) -> Embedder:
    """Make the function that returns a model's outputs and its embedding.

    Args:
        model: A built Keras 3 model.
        embedding: None, for Sequential and Functional models with one output: the
            input of the last layer with a kernel (Dense, or a convolution as in
            MobileNet), or the bottleneck if the output is an upsampled map, as in a
            U-Net, or the code of an autoencoder of Dense layers
            (`keras_invprune.graph.bottleneck`). Or the path of a layer whose output is
            the embedding, e.g. ``"encoder/pool"``. Or a callable
            ``(model, inputs, training) -> (outputs, embedding)``.

    Returns:
        ``embed(inputs, training) -> (outputs, embedding)``, with the embedding
        flattened to shape [batch, features].

    Raises:
        ValueError: If the embedding must be named, or if no layer has that name. The
            message proposes layers.
    """
    if callable(embedding):
        return lambda inputs, training=None: embedding(model, inputs, training)
    if embedding is None:
        return _of_graph(model)
    return _after_layer(model, embedding)


def _of_graph(model: keras.Model) -> Embedder:
    """Make an embedder from a second graph over the same layers."""
    if not is_graph(model) or len(model.outputs) != 1:
        raise ValueError(_must_be_named(model))
    trace = traced(model)
    features = _default(model, trace.steps)
    if features is None:
        raise ValueError(_must_be_named(model))
    if isinstance(features, str):
        return _after_layer(model, features)
    twin = keras.Model(trace.inputs, [trace.outputs, features])

    def embed(inputs: Nested, training: bool | None = None) -> tuple[Nested, Tensor]:
        result, features = twin(inputs, training=training)
        return result, _flat(features)

    return embed


def _default(
    model: keras.Model, steps: Sequence[Step]
) -> keras.KerasTensor | str | None:
    """Return the embedding's tensor, or a layer's path; None if it is unclear."""
    heads = head_layers(model)
    if heads:  # a head that is not called here is inside an inner model
        read = [step.reads for step in steps if step.operation is heads[0]]
        if heads[0].activation is not keras.activations.softmax:
            found = code(steps, model.inputs, model.outputs)
            if found is not None:
                logger.info("The embedding is the code, of shape %s.", found.shape)
                return found
        return read[0][0] if len(read) == 1 else None
    large = traced(model, ASSUMED)
    inside = list(unfolded(large.steps))
    try:
        found = bottleneck(inside, *keras.tree.flatten(large.outputs))
    except UnclearError as error:
        raise ValueError(_must_be_named(model, error.operations)) from None
    if found is None:
        return _before_last_kernel(steps)
    for one, other in zip(large.steps, steps, strict=True):
        for tensor, own in zip(one.made, other.made, strict=True):
            if tensor is found:
                return own
    return _path_of(found, inside, model)


def _path_of(
    tensor: keras.KerasTensor, steps: Sequence[Step], model: keras.Model
) -> str | None:
    """Return the path of the layer inside an inner model that makes a tensor."""
    made_by = {id(made): step.operation for step in steps for made in step.made}
    maker = made_by[id(tensor)]
    calls = [step for step in steps if step.operation is maker]
    paths = {id(layer): path for path, layer in walk(model)}
    return paths.get(id(maker)) if len(calls) == 1 else None


def _before_last_kernel(steps: Sequence[Step]) -> keras.KerasTensor | None:
    """Return the input of the last layer with a kernel.

    None if several tensors are joined after it, or if it is in an inner model.
    """
    for step in reversed(steps):
        if is_graph(step.operation) or len(step.reads) != 1:
            return None
        is_layer = isinstance(step.operation, keras.layers.Layer)
        if is_layer and kernels(weights_by_key(step.operation)):
            return step.reads[0]
    return None


def _after_layer(model: keras.Model, path: str) -> Embedder:
    layers = dict(walk(model))
    if path not in layers or not path:
        known = [name for name in layers if name]
        hint = did_you_mean(near_names(path, known, n=PROPOSED))
        hint = hint or f" Its last layers are {_candidates(model)}."
        raise ValueError(
            "`embedding` must be the path of a layer of this model. "
            f"Received: {path!r}.{hint}"
        )
    layer = _last_layer(layers[path], path)

    def embed(inputs: Nested, training: bool | None = None) -> tuple[Nested, Tensor]:
        seen = []
        with observed([layer], lambda _, output: seen.append(output)):
            result = model(inputs, training=training)
        if not seen:
            raise ValueError(
                "`embedding` must be a layer that the model calls. Received: "
                f"{path!r}, which it does not call."
            )
        return result, _flat(seen[-1])

    return embed


def _last_layer(layer: keras.Layer, path: str) -> keras.Layer:
    """Return `layer`, or the last layer of a model, which cannot be observed itself."""
    while is_graph(layer) or isinstance(layer, keras.Sequential):
        if isinstance(layer, keras.Sequential):
            layer = layer.layers[-1]
        else:
            operations = {operation.name: operation for operation in layer.operations}
            layer = operations[layer.output_names[0]]
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "`embedding` must be a layer, or a model that ends in a layer. Received: "
            f"{path!r}, which ends in the operation {layer.name!r}. Name a layer in it "
            "or after it, or pass a callable (model, inputs, training) -> (outputs, "
            "embedding)."
        )
    return layer


def _flat(features: Tensor) -> Tensor:
    return ops.reshape(features, (ops.shape(features)[0], -1))


def _candidates(model: keras.Model) -> list[str]:
    """Return the last layers before the heads with weights or pooling, by path."""
    heads = {id(layer) for layer in head_layers(model)}
    paths = [
        path
        for path, layer in walk(model)
        if path and id(layer) not in heads and (layer.weights or "Pool" in _kind(layer))
    ]
    return paths[-PROPOSED:]


def _kind(layer: keras.Layer) -> str:
    return type(layer).__name__


def _must_be_named(
    model: keras.Model, operations: Iterable[keras.Operation] = ()
) -> str:
    """Return the error message, which proposes the layers in `operations` first."""
    paths = {id(layer): path for path, layer in walk(model) if path}
    first = [paths[id(one)] for one in operations if id(one) in paths]
    proposed = list(dict.fromkeys([*first, *_candidates(model)]))[:PROPOSED]
    return (
        "The invariance objective needs an embedding, which is unclear for this model "
        "(several outputs, a subclassed model, several tensors joined at its end, or "
        "several maps that may be its bottleneck). Pass "
        "`objective=kip.Invariance(embedding=...)` with the path of the layer whose "
        "output is the embedding, or a callable (model, inputs, training) -> (outputs, "
        f"embedding). Candidates: {proposed}."
    )
