"""Carries to a copy what its config does not hold, and compares the configs."""

import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_invprune.graph.attributes import (
    PLAIN,
    carry_attributes,
    carry_configured,
    configured_alike,
    is_of,
    same,
)
from keras_invprune.graph.twins import FORGOTTEN, DifferentError, described
from keras_invprune.graph.weights import is_graph

# Names, words and `trainable` are carried. Layers without a seed draw their own; the
# states of their generators are carried.
NOT_COMPARED = (
    "name",
    "trainable",
    "vocabulary",
    "seed",
    "registered_name",
    "build_config",
)


def carry_state(pairs: Sequence[tuple], changed: Collection[int] = ()) -> None:
    """Copy each layer's state to its twin: weights, assets, attributes, `trainable`.

    Args:
        pairs: Triples (path, layer, its twin).
        changed: The ids of layers whose twins are meant to differ. They get names,
            `trainable`, regularizers and constraints only; models of the same class
            get attributes, too.

    Raises:
        DifferentError: If weights differ in number, shape or dtype, or if other state
            differs and cannot be copied.
    """
    for path, layer, twin in pairs:  # outer layers first: `trainable` is passed on
        if id(layer) not in changed:
            _carry_files(path, layer, twin)
        twin.name = layer.name  # Keras numbers names that are not in a config
        if twin.trainable != layer.trainable:
            twin.trainable = layer.trainable
    for path, layer, twin in reversed(pairs):  # inner layers first, for the message
        carry_configured(layer, twin)
        if id(layer) in changed:
            if is_graph(layer) and type(twin) is type(layer):  # layers inside differ
                _carry_attributes(path, layer, twin)
            continue
        if is_of(layer, "keras"):  # what its config says is not to be set by hand
            _check_config(path, layer, twin)
        _carry_attributes(path, layer, twin)
        _check_config(path, layer, twin)
        _carry_variables(path, layer, twin)


def _carry_files(path: str, layer: keras.Layer, twin: keras.Layer) -> None:
    try:
        _carry_saved(layer, twin)
    except ValueError:  # Keras names a shape, not its cause
        _check_config(path, layer, twin)
        raise


def _carry_attributes(path: str, layer: keras.Layer, twin: keras.Layer) -> None:
    try:
        carry_attributes(layer, twin)
    except DifferentError as error:
        raise DifferentError(f"{described(path, layer)}, {error} {FORGOTTEN}") from None


def _check_config(path: str, layer: keras.Layer, twin: keras.Layer) -> None:
    """Raise if two layers say different things of themselves."""
    if is_graph(layer):
        return  # its layers are compared one by one
    try:
        configs = layer.get_config(), twin.get_config()
    except Exception:  # an inner layer of the author's own needs no config
        return
    for argument, one, other in _differences(*configs):
        raise DifferentError(
            f"{described(path, layer)} has {argument}={one!r:.80}, and its copy "
            f"has {other!r:.80}. The `get_config` of the layer that makes it must "
            "return every argument of its constructor."
        )


def _differences(one: Any, other: Any, key: str = "") -> Iterator[tuple]:
    """Yield (argument, value, other value) where two configs differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            if name not in NOT_COMPARED:
                inner = one.get(name), other.get(name)
                yield from _differences(*inner, key or name)
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield key, one, other
        for parts in zip(one, other, strict=False):
            yield from _differences(*parts, key)
    elif _is_written(one) and _is_written(other) and not _equal(one, other):
        yield key, one, other


def _is_written(value: object) -> bool:
    """Return whether a file can hold a value as it is."""
    return isinstance(value, (*PLAIN, dict, list, tuple))


def _equal(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return same(float(one), float(other)) if numbers else same(one, other)


def _carry_saved(layer: keras.Layer, twin: keras.Layer) -> None:
    """Copy what the layer itself saves to files: vocabularies, adapted statistics."""
    store = {}
    if not is_graph(layer):
        layer.save_own_variables(store)
        twin.load_own_variables({k: np.asarray(v) for k, v in store.items()})
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            if os.listdir(folder):
                twin.load_assets(folder)
    if hasattr(layer, "set_vocabulary"):  # one set later is not in the config
        words = list(layer.get_vocabulary())
        if words != list(twin.get_vocabulary()):
            twin.set_vocabulary(words)


def _carry_variables(path: str, layer: keras.Layer, twin: keras.Layer) -> None:
    if len(layer.variables) != len(twin.variables):
        names = [[v.path for v in each.variables] for each in (layer, twin)]
        raise DifferentError(
            f"{described(path, layer)} has the weights {names[0]}, and its "
            f"copy has {names[1]}. Weights added after building are not in the "
            "layer's config."
        )
    for old, new in zip(layer.variables, twin.variables, strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            if mode := getattr(layer, "quantization_mode", None):
                raise DifferentError(
                    f"{described(path, layer)} is quantized to {mode}. Prune before "
                    "quantizing."
                )
            raise DifferentError(
                f"{described(path, layer)} has a weight {old.name!r} of shape "
                f"{old.shape} and dtype {old.dtype}; that of its copy has {new.shape} "
                f"and {new.dtype}. {FORGOTTEN}"
            )
        if old is new:
            raise DifferentError(f"{described(path, layer)} shares {old.path!r}.")
        new.assign(old)
        if new.trainable != old.trainable:
            new.trainable = old.trainable
        for name in ("regularizer", "constraint"):
            if not configured_alike(getattr(old, name), getattr(new, name)):
                setattr(new, name, getattr(old, name))  # set on the weight itself
