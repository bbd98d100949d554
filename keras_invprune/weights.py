"""Which weights a model has, what each is called, and which may be pruned.

A weight's *key* is its object path in the caller's model: layer names (attribute
names inside custom layers and subclassed models) joined with "/", then the
weight's own name, e.g. ``"encoder/dense/kernel"``. Unlike ``variable.path`` it
is unique in nested models and the same before wrapping, after wrapping and
after stripping.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

import keras

PRUNABLE_NAMES = ("kernel", "recurrent_kernel", "pointwise_kernel")
ON_REQUEST_NAMES = ("depthwise_kernel", "embeddings")

Select = Callable[[str, keras.layers.Layer], bool]


class Weight(NamedTuple):
    """A weight with the layer that owns it."""

    layer: keras.layers.Layer
    variable: keras.Variable


def is_graph(layer) -> bool:
    """Whether `layer` is a Sequential or Functional model: its parts are listed."""
    if isinstance(layer, keras.Sequential):
        return True
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def sublayers(layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (name, layer) of the layers directly inside `layer`."""
    if is_graph(layer):
        # Sequential and Functional: names are part of the config, hence stable.
        yield from ((child.name, child) for child in layer.layers)
        return
    for attribute, value in vars(layer).items():
        name = attribute.lstrip("_")
        if isinstance(value, keras.layers.Layer):
            yield name, value
        elif isinstance(value, list | tuple) and attribute != "_layers":
            yield from (
                (f"{name}_{index}", child)
                for index, child in enumerate(value)
                if isinstance(child, keras.layers.Layer)
            )
        elif isinstance(value, dict):
            yield from (
                (f"{name}_{key}", child)
                for key, child in value.items()
                if isinstance(child, keras.layers.Layer)
            )


def walk(layer, path="", seen=None) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields (path, layer) for `layer` and all layers inside it, each once."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in sublayers(layer):
        yield from walk(child, f"{path}/{name}" if path else name, seen)


def weights_by_key(model) -> dict[str, Weight]:
    """All trainable and non-trainable weights of `model` by key.

    Args:
        model: A built Keras 3 layer or model.

    Returns:
        ``{key: Weight(layer, variable)}`` in the order of the layers.
    """
    # Children come after their parent: claiming from the leaves upwards gives
    # each variable to the innermost layer that holds it.
    owners = {}
    for path, layer in walk(model):
        for variable in layer.weights:
            owners[id(variable)] = (path, layer, variable)
    found = {}
    for path, layer, variable in owners.values():
        key = f"{path}/{variable.name}" if path else variable.name
        while key in found:
            key += "'"
        found[key] = Weight(layer, variable)
    return found


def prunable_weights(model, select: Select | Iterable[str] | None = None):
    """The weights of `model` that `select` lets be pruned.

    Args:
        model: A built Keras 3 model.
        select: None for the default (every kernel of rank 2 and more whose name
            is one of `PRUNABLE_NAMES`, except those of the head: the last Dense
            layer before each output), a callable ``(key, layer) -> bool`` asked
            for every kernel, depthwise kernel and embedding, or an iterable of
            keys or layer paths (all that lies under them).

    Returns:
        ``{key: keras.Variable}``.

    Raises:
        ValueError: Nothing is left to prune, or a name in `select` fits nothing.
    """
    named = weights_by_key(model)
    candidates = {
        key: weight for key, weight in named.items() if _can_be_masked(weight.variable)
    }
    if select is None:
        heads = {id(layer) for layer in head_layers(model)}
        chosen = {
            key
            for key, (layer, variable) in candidates.items()
            if variable.name in PRUNABLE_NAMES and id(layer) not in heads
        }
    elif callable(select):
        chosen = {key for key, weight in candidates.items() if select(key, weight.layer)}
    else:
        chosen = _under(list(select), candidates)
    if not chosen:
        raise ValueError(
            "There is nothing to prune: no weight is both prunable and selected. "
            f"Prunable weights of this model: {sorted(candidates) or 'none'}. "
            "By default the classification head stays dense; "
            "`select=[...]` names weights or layers to prune."
        )
    return {key: w.variable for key, w in candidates.items() if key in chosen}


def _can_be_masked(variable) -> bool:
    return (
        variable.trainable
        and len(variable.shape) >= 2
        and variable.name in PRUNABLE_NAMES + ON_REQUEST_NAMES
        and keras.backend.is_float_dtype(variable.dtype)
    )


def _under(names: list[str], candidates) -> set[str]:
    chosen = set()
    for name in names:
        fitting = {k for k in candidates if k == name or k.startswith(f"{name}/")}
        if not fitting:
            raise ValueError(
                f"`select` names {name!r}, which is no prunable weight and holds "
                f"none. Prunable weights of this model: {sorted(candidates)}."
            )
        chosen |= fitting
    return chosen


def head_layers(model) -> list[keras.layers.Layer]:
    """The layers that make the model's outputs: their kernels stay dense.

    For one output, the last layer with a kernel, if it is a Dense layer; for
    several, every Dense layer whose output tensor is an output of the model.
    """
    with_kernel = [
        layer for _, layer in walk(model) if isinstance(layer, keras.layers.Dense)
    ]
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) > 1:
        ids = {id(tensor) for tensor in outputs}
        return [layer for layer in with_kernel if id(_output(layer)) in ids]
    last = [layer for layer, v in weights_by_key(model).values() if _can_be_masked(v)]
    return last[-1:] if last and isinstance(last[-1], keras.layers.Dense) else []


def _output(layer):
    try:
        return layer.output
    except AttributeError:  # never called, or called more than once
        return None
