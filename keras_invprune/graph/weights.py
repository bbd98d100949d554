"""Which weights a model has, and the key of each.

A weight's *key* is its object path in the caller's model: layer names (attribute
names inside custom layers and subclassed models) and the weight's own name, joined
with "/", e.g. ``"encoder/dense/kernel"``. A weight without a name has the name of the
attribute that holds it. Unlike ``variable.path``, the key is unique in nested models
and stays the same through wrapping and stripping.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_invprune.contracts import PruningWrapper


def known_layers(*names: str) -> tuple[type, ...]:
    """Return the Keras layers of these names that this version of Keras has."""
    found = (getattr(keras.layers, name, None) for name in names)
    return tuple(layer for layer in found if layer is not None)


# Their weights are multiplied element by element, whatever their rank.
ELEMENTWISE = known_layers(
    "PReLU",
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "Normalization",
    "RMSNormalization",
    "SpectralNormalization",  # its own weights, not those of the layer inside it
)
# Here Keras lists what other attributes hold, too; TensorFlow does in "_self_...".
LISTED_AGAIN = ("_layers", "_trainable_variables", "_non_trainable_variables")
NAMED = 3  # the maximum number of names in a message
UNNAMED = re.compile(r"variable(_\d+)?")  # the number counts over the whole process


class Weight(NamedTuple):
    """A weight with the layer that owns it."""

    layer: keras.layers.Layer
    variable: keras.Variable


def check_keras(model: object, built: bool = False) -> None:
    """Raise TypeError unless `model` is a Keras 3 model.

    With `built`, raise ValueError if its weights do not exist yet.
    """
    if isinstance(model, keras.Model):
        if built and not model.built:
            raise ValueError(
                f"Model {model.name!r} is not built, so it has no weights yet. Give it "
                "a keras.Input, or call it on a batch first."
            )
        return
    kind, instead = type(model), ""
    if isinstance(model, str | os.PathLike):
        instead = " Load it first: `keras.saving.load_model(path)`."
    elif isinstance(model, keras.Layer):
        instead = " Put a single layer into `keras.Sequential`."
    raise TypeError(
        "`model` must be a Keras 3 model, built with `import keras`. Received: "
        f"{kind.__module__}.{kind.__qualname__}.{instead}"
    )


def check_plain(model: object, call: str) -> None:
    """Raise ValueError if a model, or a part of it, has pruning masks.

    Args:
        model: A model; anything else has no masks.
        call: The call that takes it, such as "kip.export({}, folder)".
    """
    inside = walk(model) if isinstance(model, keras.Model) else ()
    masked = next((path for path, x in inside if isinstance(x, PruningWrapper)), None)
    if masked is None:
        return
    where = f" in {masked!r}" if masked else ""
    way_out = (
        "Use `kip.strip_pruning(part)` for that part when you build the model."
        if masked
        else f"Strip them first: `{call.format('kip.strip_pruning(model)')}`."
    )
    raise ValueError(
        "`model` must be a plain model. Received: a model with pruning masks"
        f"{where}. {way_out}"
    )


def check_finite(variables: Mapping[str, keras.Variable]) -> None:
    """Raise ValueError if weights are NaN or infinite; it names the first of them."""
    wrong = [
        key
        for key, variable in variables.items()
        if keras.backend.is_float_dtype(variable.dtype)
        and not bool(keras.ops.all(keras.ops.isfinite(variable)))
    ]
    if wrong:
        raise ValueError(
            f"Weights must be finite. Received: NaN or infinity in {wrong[:NAMED]}. "
            "Train again with a smaller learning rate, or load an earlier checkpoint."
        )


def is_graph(layer: keras.Layer) -> bool:
    """Return whether `layer` is a Sequential or Functional model with a graph."""
    # A Sequential has no graph before it is built, or if a layer infers no shape.
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def sublayers(layer: keras.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield (name, layer) of the layers directly inside `layer`."""
    listed = is_graph(layer) or isinstance(layer, keras.Sequential)
    if listed:  # names are part of the config and therefore stable
        yield from ((child.name, child) for child in layer.layers)
    yield from held(layer, keras.layers.Layer, public=listed)


def held(
    layer: keras.Layer, kind: type, public: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield (name, object) for the objects of a kind in a layer's attributes.

    With `public`, attributes whose names begin with an underscore are skipped.
    """
    for attribute, value in vars(layer).items():
        hidden = attribute in LISTED_AGAIN or attribute.startswith("_self_")
        if not (hidden or (public and attribute.startswith("_"))):
            yield from _found_in(value, attribute.lstrip("_"), kind)


def _found_in(value: Any, name: str, kind: type) -> Iterator[tuple[str, Any]]:
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
    """Yield (path, layer) for `layer` and all layers inside it, each once."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in sublayers(layer):
        yield from walk(child, f"{path}/{name}" if path else name, seen)


def set_trainable(layers: Iterable[keras.Layer], trainable: bool) -> None:
    """Set `trainable` of the layers and of all layers inside them."""
    for outer in layers:
        for _, layer in walk(outer):  # a loaded Sequential does not pass it on
            layer.trainable = trainable


def own_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics that the layers hold, without those of `compile`."""
    return [
        metric
        for _, layer in walk(model)
        for _, metric in held(
            layer, keras.metrics.Metric, public=isinstance(layer, keras.Model)
        )
    ]


def weights_by_key(model: keras.Model) -> dict[str, Weight]:
    """Return all trainable and non-trainable weights of `model` by key.

    This census walks through the whole model: call it once and pass the result on.

    Args:
        model: A built Keras 3 layer or model.

    Returns:
        ``{key: Weight(layer, variable)}`` in the order of the layers.
    """
    found, seen = {}, set()
    for path, layer in walk(model):
        # A tied layer holds the variable of another layer.
        inner = {id(v) for _, child in sublayers(layer) for v in child.weights} | seen
        own = [variable for variable in layer.weights if id(variable) not in inner]
        for name, variable in zip(_names(layer, own), own, strict=True):
            key = f"{path}/{name}" if path else name
            while key in found:
                key += "'"
            found[key] = Weight(layer, variable)
        seen.update(id(variable) for variable in own)
    return found


def _names(layer: keras.Layer, variables: Sequence[keras.Variable]) -> list[str]:
    """Return the names of a layer's weights, or of the attributes that hold them."""
    if not any(UNNAMED.fullmatch(variable.name) for variable in variables):
        return [variable.name for variable in variables]
    attributes = {id(v): name for name, v in held(layer, keras.Variable)}
    return [
        attributes.get(id(v), f"weight_{index}")
        if UNNAMED.fullmatch(v.name)
        else v.name
        for index, v in enumerate(variables)
    ]


def shapes_of(weights: Mapping[str, Weight]) -> dict[str, tuple[int, ...]]:
    """Return ``{key: shape}`` of weights by key."""
    return {key: tuple(weight.variable.shape) for key, weight in weights.items()}


def kernels(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """Return all kernels by key: the weights of rank >= 2 that are not biases.

    The biases of attention and GRU layers have rank 2, too, and are left out. So are
    weights that a layer multiplies element by element, such as the slopes of PReLU.
    """
    return {
        key: weight
        for key, weight in weights.items()
        if len(weight.variable.shape) > 1
        and weight.variable.name != "bias"
        and not isinstance(weight.layer, ELEMENTWISE)
    }
