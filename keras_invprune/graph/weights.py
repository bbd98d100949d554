"""Which weights a model has, and what each is called.

A weight's *key* is its object path in the caller's model: layer names (attribute
names inside custom layers and subclassed models) joined with "/", then the
weight's own name, e.g. ``"encoder/dense/kernel"``. A weight without a name goes by
the attribute that holds it. Unlike ``variable.path`` it
is unique in nested models and the same before wrapping, after wrapping and
after stripping.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import keras


def known_layers(*names) -> tuple[type, ...]:
    """The layers of Keras of these names, but for those that came after this Keras."""
    found = (getattr(keras.layers, name, None) for name in names)
    return tuple(layer for layer in found if layer is not None)


# Their weights have as many axes as the input axes that they tell apart.
ELEMENTWISE = known_layers(
    "PReLU",
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "Normalization",
    "RMSNormalization",
    "SpectralNormalization",  # but for those of the layer inside
)
# In these Keras lists again what other attributes hold, in "_self_..." TensorFlow does.
LISTED_AGAIN = ("_layers", "_trainable_variables", "_non_trainable_variables")
UNNAMED = re.compile(r"variable(_\d+)?")  # counted over all models of the process


class Weight(NamedTuple):
    """A weight with the layer that owns it."""

    layer: keras.layers.Layer
    variable: keras.Variable


def is_graph(layer: keras.Layer) -> bool:
    """Whether `layer` is a Sequential or Functional model that has symbolic tensors."""
    # A Sequential has none before it is built, nor where a layer infers no shape.
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def sublayers(layer: keras.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (name, layer) of the layers directly inside `layer`."""
    listed = is_graph(layer) or isinstance(layer, keras.Sequential)
    if listed:  # names are part of the config, hence stable
        yield from ((child.name, child) for child in layer.layers)
    yield from held(layer, keras.layers.Layer, public=listed)


def held(layer: keras.Layer, kind: str, public: bool = False):
    """Yields (name, object) of the objects of a kind in a layer's attributes.

    With `public`, in those alone whose names do not begin with an underscore.
    """
    for attribute, value in vars(layer).items():
        hidden = attribute in LISTED_AGAIN or attribute.startswith("_self_")
        if not (hidden or (public and attribute.startswith("_"))):
            yield from _found_in(value, attribute.lstrip("_"), kind)


def _found_in(value, name, kind):
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _found_in(child, f"{name}_{key}", kind)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _found_in(child, f"{name}_{index}", kind)


def walk(
    layer: keras.Layer, path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (path, layer) for `layer` and all layers inside it, each once."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in sublayers(layer):
        yield from walk(child, f"{path}/{name}" if path else name, seen)


def set_trainable(layers: Iterable[keras.Layer], trainable: bool):
    """Freezes layers with all inside them, or the reverse."""
    for outer in layers:
        for _, layer in walk(outer):  # a Sequential that was loaded does not pass it on
            layer.trainable = trainable


def own_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """What layers hold and update themselves, not what `model` is compiled with."""
    return [
        metric
        for _, layer in walk(model)
        for _, metric in held(
            layer, keras.metrics.Metric, public=isinstance(layer, keras.Model)
        )
    ]


def weights_by_key(model: keras.Model) -> dict[str, Weight]:
    """All trainable and non-trainable weights of `model` by key.

    This census walks through the whole model: call it once and pass the result on.

    Args:
        model: A built Keras 3 layer or model.

    Returns:
        ``{key: Weight(layer, variable)}`` in the order of the layers.
    """
    found, seen = {}, set()
    for path, layer in walk(model):
        # Some may be a tied layer's, which holds the variable of another one.
        inner = {id(v) for _, child in sublayers(layer) for v in child.weights} | seen
        own = [variable for variable in layer.weights if id(variable) not in inner]
        for name, variable in zip(_names(layer, own), own, strict=True):
            key = f"{path}/{name}" if path else name
            while key in found:
                key += "'"
            found[key] = Weight(layer, variable)
        seen.update(id(variable) for variable in own)
    return found


def _names(layer, variables) -> list[str]:
    """The names of a layer's own weights; of those without, their attributes'."""
    if not any(UNNAMED.fullmatch(variable.name) for variable in variables):
        return [variable.name for variable in variables]
    attributes = {id(v): name for name, v in held(layer, keras.Variable)}
    return [
        attributes.get(id(v), f"weight_{index}")
        if UNNAMED.fullmatch(v.name)
        else v.name
        for index, v in enumerate(variables)
    ]


def kernels(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """The weights of two axes and more, by key.

    But for the biases of attention and GRU layers, which have two axes as well, and
    for what a layer multiplies number by number, such as the slopes of PReLU.
    """
    return {
        key: weight
        for key, weight in weights.items()
        if len(weight.variable.shape) > 1
        and weight.variable.name != "bias"
        and not isinstance(weight.layer, ELEMENTWISE)
    }
