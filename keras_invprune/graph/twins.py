"""Pairs the layers of a model and its copy, place by place.

Names do not identify layers: two classes, two layers of two models and two weights may
share a name. Places do, so both models are walked in step.
"""

import inspect
import types
from collections import Counter
from collections.abc import Collection

import keras
import tensorflow as tf

from keras_invprune.graph.weights import sublayers, walk

FORGOTTEN = (
    "Its `get_config` must return every argument of its constructor, and "
    "`save_own_variables` and `load_own_variables` what it has learned."
)


class DifferentError(ValueError):
    """A copy differs from its model. The message says which layer, and why."""


def check_functions(model: keras.Model) -> None:
    """Raise if a function that one of Keras's layers calls holds state.

    Raises:
        DifferentError: If it uses a variable or a layer, which both models would share.
    """
    for path, layer in walk(model):
        for function in _functions(layer):
            if state := _state_of(function):
                raise DifferentError(
                    f"{described(path, layer)} calls the function "
                    f"{function.__qualname__!r}, which uses {state} and would share "
                    "it with the copy. Hold it in a custom layer instead."
                )


def _functions(layer: keras.Layer) -> list[types.FunctionType]:
    """Return the functions that a user gives to one of Keras's layers."""
    if not type(layer).__module__.startswith("keras."):
        return []
    held = [f for f in vars(layer).values() if isinstance(f, types.FunctionType)]
    return [f for f in held if not f.__module__.startswith("keras.")]


def _state_of(function: types.FunctionType) -> str | None:
    """Return a description of a variable or layer that a function uses, or None."""
    used = inspect.getclosurevars(function)
    for name, value in {**used.globals, **used.nonlocals}.items():
        if isinstance(value, (tf.Variable, keras.Variable)):
            return f"the variable {name!r}"
        if isinstance(value, keras.Layer):
            return f"the layer {name!r}"
    return None


def pair(
    model: keras.Model, copied: keras.Model, changed: Collection[int] = ()
) -> list[tuple]:
    """Return triples (path, layer, its twin) of the layers at the same places.

    Args:
        model: The model.
        copied: Its copy.
        changed: The ids of layers whose twins may be of another class.

    Raises:
        DifferentError: If the layers differ in number or class, or if a layer is in
            both models.
    """
    layers, twins = list(walk(model)), list(walk(copied))
    if len(layers) < len(twins) and (shared := _held_by_several(layers)):
        raise DifferentError(
            f"{described(*shared)} is shared: several layers hold it, and each of them "
            "makes its own in the copy. Give each of them a layer of its own."
        )
    for (path, layer), (_, twin) in zip(layers, twins, strict=False):
        if type(layer) is not type(twin) and id(layer) not in changed:
            raise DifferentError(
                f"{described(path, layer)} is a {_full_name(twin)} in the copy. Keras "
                "tells classes in a config apart by name: give them different names."
            )
        if layer is twin:
            raise DifferentError(
                f"{described(path, layer)} is the same object in the copy. Its owner's "
                "`from_config` must make a new one."
            )
    if len(layers) != len(twins):
        count = min(len(layers), len(twins))
        path, layer = (layers + twins[count:])[count]
        raise DifferentError(
            f"{described(path, layer)} is in only one of the two (the model has "
            f"{len(layers)} layers, the copy {len(twins)}). A layer that was added "
            "later is not in a config."
        )
    return [
        (path, layer, twin)
        for (path, layer), (_, twin) in zip(layers, twins, strict=True)
    ]


def _held_by_several(
    layers: list[tuple[str, keras.Layer]],
) -> tuple[str, keras.Layer] | None:
    """Return (path, layer) of the first layer inside several others, or None."""
    holders = Counter(
        inner
        for _, layer in layers
        for inner in {id(child) for _, child in sublayers(layer)}
    )
    found = [(path, layer) for path, layer in layers if holders[id(layer)] > 1]
    return found[0] if found else None


def described(path: str, layer: keras.Layer) -> str:
    """Return the description of a layer in messages."""
    return f"Layer {path!r} ({_full_name(layer)})" if path else _full_name(layer)


def _full_name(layer: keras.Layer) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"
