"""Makes the model again without a layer."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_invprune.compaction.merge.compose import Product
from keras_invprune.compaction.merge.links import Link
from keras_invprune.compaction.surgery import carry_limits
from keras_invprune.graph.attributes import carry_attributes
from keras_invprune.graph.copying import graph_class, rebuilt


def with_one_less(model: keras.Model, link: Link, product: Product) -> keras.Model:
    """Return a model with one Dense or convolutional layer less.

    Args:
        model: A Sequential or Functional model. The new one shares all other layers.
        link: The layer that goes, and the one that remains.
        product: What the one that remains computes.
    """
    gone = {id(layer) for layer in link.gone}
    made = {id(link.second.operation): _remaining(link, product)}
    if isinstance(model, keras.Sequential):
        layers = [made.get(id(x), x) for x in model.layers if id(x) not in gone]
        found = graph_class(model)([model.inputs[0], *layers], name=model.name)
    else:
        found = _functional(model, gone, made)
    found.dtype_policy = model.dtype_policy
    if type(found) is type(model):
        carry_attributes(model, found)
    if not model.trainable:
        found.trainable = False
    return found


def _functional(
    model: keras.Model, gone: set[int], made: dict[int, keras.Layer]
) -> keras.Model:
    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if id(layer) in gone else layer(*args, **kwargs)

    twin = keras.models.clone_model(
        keras.Model(model.input, model.output),
        model.input,
        clone_function=lambda layer: made.get(id(layer), layer),
        call_function=call,
    )
    return graph_class(model)(model.input, twin.output, name=model.name)


def _remaining(link: Link, made: Product) -> keras.Layer:
    """Return the layer that computes what two have computed."""
    layer = link.second.operation
    new = rebuilt(layer, made.config)
    new.build((*link.second.reads[0].shape[:1], *_input_shape(link, made)))
    new.trainable = layer.trainable
    for name, values in (("kernel", made.kernel), ("bias", made.bias)):
        if values is not None:
            getattr(new, name).assign(values)
            if (old := getattr(layer, name)) is not None:
                carry_limits(old, getattr(new, name))
    return new


def _input_shape(link: Link, made: Product) -> Sequence[Any]:
    """Return the shape that the remaining layer reads, without the batch."""
    layer, channels = link.second.operation, made.kernel.shape[-2]
    if isinstance(layer, keras.layers.Dense):
        return *link.second.reads[0].shape[1:-1], channels
    shape = link.first.reads[0].shape
    if layer.data_format == "channels_first":
        return channels, *shape[2:]
    return *shape[1:-1], channels
