"""Compares a model and its copy, place by place.

Names do not identify layers: two classes, two layers of two models and two weights may
share a name. Places do, so both models are walked in step.
"""

import contextlib
import copy
import enum
import logging
import os
import tempfile
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.observe import observed
from keras_invprune.graph.weights import is_graph, walk

logger = logging.getLogger("keras_invprune")

DRAWN = {str: ["a", "b"], int: [0, 1]}  # values for inputs that are not floats
MANY = 64  # maximum number of known values to draw from
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.ndarray, np.generic)
# Attributes that every Keras layer and model has are not the author's state.
OF_KERAS = vars(keras.layers.Layer()).keys() | vars(keras.Model()).keys()
TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}  # shares of the largest output
LENGTHS = (8, 32, 128)  # lengths to try for axes of unknown length


class DifferentError(ValueError):
    """A copy differs from its model. The message says which layer, and why."""


def pair(model: keras.Model, copied: keras.Model) -> list[tuple]:
    """Return triples (path, layer, its twin) of the layers at the same places.

    Raises:
        DifferentError: If the layers differ in number or class, or if a layer is in
            both models.
    """
    layers, twins = list(walk(model)), list(walk(copied))
    for (path, layer), (_, twin) in zip(layers, twins, strict=False):
        if type(layer) is not type(twin):
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
            f"{len(layers)} layers, the copy {len(twins)}). A layer that several "
            "layers hold, or that was added later, is not in a config."
        )
    return [
        (path, layer, twin)
        for (path, layer), (_, twin) in zip(layers, twins, strict=True)
    ]


def described(path: str, layer: keras.Layer) -> str:
    """Return the description of a layer in messages."""
    return f"Layer {path!r} ({_full_name(layer)})" if path else _full_name(layer)


def _full_name(layer):
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def carry_state(pairs: Sequence[tuple]):
    """Copy each layer's state to its twin: weights, assets, attributes, `trainable`.

    Raises:
        DifferentError: If weights differ in number, shape or dtype.
    """
    for _, layer, twin in pairs:  # outer layers first: `trainable` is passed on inside
        _carry_saved(layer, twin)
        _carry_attributes(layer, twin)
        twin.name = layer.name  # Keras numbers names that are not in a config
        if twin.trainable != layer.trainable:
            twin.trainable = layer.trainable
    for path, layer, twin in reversed(pairs):  # inner layers first, for the message
        _carry_variables(path, layer, twin)


def _carry_saved(layer, twin):
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


def _carry_variables(path, layer, twin):
    if len(layer.variables) != len(twin.variables):
        names = [[v.path for v in each.variables] for each in (layer, twin)]
        raise DifferentError(
            f"{described(path, layer)} has the weights {names[0]}, its copy "
            f"{names[1]}. Weights added after building are not in the layer's config."
        )
    for old, new in zip(layer.variables, twin.variables, strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise DifferentError(
                f"{described(path, layer)} has a weight {old.name!r} of shape "
                f"{old.shape} and dtype {old.dtype}, its copy of {new.shape} and "
                f"{new.dtype}. {FORGOTTEN}"
            )
        if old is new:
            raise DifferentError(f"{described(path, layer)} shares {old.path!r}.")
        new.assign(old)
        if new.trainable != old.trainable:
            new.trainable = old.trainable
        for name in ("regularizer", "constraint"):
            if not _configured_alike(getattr(old, name), getattr(new, name)):
                setattr(new, name, getattr(old, name))  # set on the weight itself


def _configured_alike(one, other) -> bool:
    """Return whether two regularizers or constraints (or None) are equivalent."""
    if type(one) is not type(other):
        return False
    configs = [each and each.get_config() for each in (one, other)]
    return configs[0] == configs[1]


FORGOTTEN = (
    "Its `get_config` must return every argument of its constructor, and "
    "`save_own_variables` and `load_own_variables` what it has learned."
)


def carry_functions(layer: keras.Layer, twin: Any):
    """Give a twin the function objects of its layer, which no config can hold."""
    for name, value in vars(layer).items():
        other = vars(twin).get(name)
        both = isinstance(value, types.FunctionType) and callable(other)
        if both and other is not value and _is_free(value):
            setattr(twin, name, value)


def _is_free(function):
    """Return whether two models may share a function: it holds no state."""
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    free = (*PLAIN, types.ModuleType, type)
    return all(
        _is_free(value)
        if isinstance(value, types.FunctionType)
        else isinstance(value, free)
        for value in held
    )


def _carry_attributes(layer, twin):
    """Copy the present values of a custom class's attributes, except layers."""
    for name, value in _own_attributes(layer):
        other = vars(twin).get(name)
        if isinstance(value, tf.Variable) and isinstance(other, tf.Variable):
            other.assign(value)
            continue
        try:
            value = _plain(value)
            if name in vars(twin) and _same(value, _plain(other)):
                continue
        except TypeError:
            continue
        setattr(twin, name, value)


def _own_attributes(layer) -> list[tuple]:
    """Return (name, value) of the attributes that a custom class adds to Keras's."""
    if _is_of(layer, "keras"):
        return []  # its configs and files hold everything
    return [
        (name, value)
        for name, value in vars(layer).items()
        if not (name in OF_KERAS or name.startswith("_self_"))
    ]


def _plain(value):
    """Return a copy of plain data; raise TypeError for layers and other objects."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    if isinstance(value, list | tuple | set):
        kind = next(k for k in (list, tuple, set) if isinstance(value, k))
        return kind(_plain(item) for item in value)
    if isinstance(value, tf.Variable):
        return tf.Variable(value, trainable=value.trainable, dtype=value.dtype)
    if keras.ops.is_tensor(value) and hasattr(value, "numpy"):
        return value
    if isinstance(value, enum.Enum):
        return value
    return _plain_object(value)


def _plain_object(value):
    """Return a copy of an object of a custom class that holds only data."""
    of_others = _is_of(value, "keras", "tensorflow", "builtins", "functools")
    if of_others or isinstance(value, type) or not hasattr(value, "__dict__"):
        raise TypeError(type(value))
    parts = {name: _plain(part) for name, part in vars(value).items()}
    made = copy.copy(value)
    vars(made).update(parts)
    return made


def _is_of(thing, *packages) -> bool:
    return type(thing).__module__.partition(".")[0] in packages


def _same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, tf.Variable):
        return False  # each model needs its own
    if isinstance(one, np.ndarray) or keras.ops.is_tensor(one):
        one, other = np.asarray(one), np.asarray(other)
        return one.dtype == other.dtype and np.array_equal(one, other)
    if hasattr(one, "__dict__"):
        return _same(vars(one), vars(other))
    return bool(one == other or (one != one and other != other))


def check_outputs(model: keras.Model, copied: keras.Model):
    """Compare the outputs of both models on random inputs, in evaluation mode.

    A model is not compared if it rejects random inputs (an index that must be in a
    table), or if its outputs are not reproducible.

    Raises:
        DifferentError: If they differ; the message names the first layer that does.
    """
    draws = [DRAWN, DRAWN | known] if (known := _known_values(model)) else [DRAWN]
    if not any([_runs_alike(model, copied, values) for values in draws]):
        logger.info("%s rejects random inputs: outputs not compared.", model.name)


def _runs_alike(model, copied, values) -> bool:
    """Return whether the models could be run; raise if their outputs differ."""
    inputs, expected = _first_that_runs(model, values)
    if inputs is None:
        return False
    try:
        found = _outputs(copied, inputs)
    except Exception as error:
        raise DifferentError(
            f"The copy fails on inputs that the model takes, with {error}. {FORGOTTEN}"
        ) from error
    if _close(expected, found, model) or not _agrees(model, inputs, expected):
        return True
    path, layer = _first_that_differs(model, copied, inputs)
    raise DifferentError(
        f"{described(path, layer)} has different outputs in the copy (by up to "
        f"{_distance(expected, found):.3g} at the model's outputs). {FORGOTTEN}"
    )


def _known_values(model) -> dict:
    """Return the strings and integers in the layers' vocabularies and tables."""
    held = []
    for _, layer in walk(model):
        held += [value for _, value in _own_attributes(layer)]
        if hasattr(layer, "get_vocabulary"):
            held.append(layer.get_vocabulary())
    lists = [list(v) for v in held if isinstance(v, dict | list | tuple | set) and v]
    found = {
        kind: [item for items in lists for item in items if type(item) is kind]
        for kind in (str, int)
    }
    return {kind: items[:MANY] for kind, items in found.items() if items}


def _first_that_runs(model, values):
    specs = input_structure(model)
    for length in LENGTHS if keras.tree.flatten(specs) else ():
        inputs = _drawn(specs, length, values)
        try:
            return inputs, _outputs(model, inputs)
        except Exception:  # custom layers may raise anything on such inputs
            continue
    return None, None


def _drawn(specs, length, known):
    random = np.random.default_rng(0)

    def draw(spec):
        shape = [2 if spec.shape[0] is None else spec.shape[0]]
        shape += [length if size is None else size for size in spec.shape[1:]]
        if spec.dtype == "string":
            return keras.ops.convert_to_tensor(random.choice(known[str], shape))
        if keras.backend.is_float_dtype(spec.dtype):
            values = random.normal(size=shape)
        else:
            values = random.choice(known[int], shape)
        return keras.ops.cast(values, spec.dtype)

    return keras.tree.map_structure(draw, specs)


def _outputs(model, inputs):
    # No state of the model changes, not even its seeds.
    with keras.StatelessScope(), _attributes_kept(model):
        outputs = model(inputs, training=False)
    return [np.asarray(part) for part in keras.tree.flatten(outputs)]


@contextlib.contextmanager
def _attributes_kept(model):
    """Restore the custom attributes and variables that a call changes."""
    before = [
        (layer, name, value, value.numpy() if isinstance(value, tf.Variable) else None)
        for _, layer in walk(model)
        for name, value in _own_attributes(layer)
        if isinstance(value, (*PLAIN, tf.Variable))
    ]
    try:
        yield
    finally:
        for layer, name, value, content in before:
            if isinstance(value, tf.Variable):
                value.assign(content)
            elif vars(layer).get(name) is not value:
                setattr(layer, name, value)


def _close(expected, found, model):
    if [part.shape for part in expected] != [part.shape for part in found]:
        return False
    return all(
        _near(one, other, TOLERANCES.get(model.compute_dtype, 1e-4))
        for one, other in zip(expected, found, strict=True)
    )


def _near(one, other, tolerance):
    if not np.issubdtype(one.dtype, np.number):
        return np.array_equal(one, other)
    one, other = (np.asarray(part, "float64") for part in (one, other))
    size = np.max(np.abs(one), initial=0.0, where=np.isfinite(one))
    return np.allclose(one, other, rtol=0, atol=tolerance * size, equal_nan=True)


def _agrees(model, inputs, expected):
    return _close(expected, _outputs(model, inputs), model)


def _distance(expected, found):
    return max(
        float(np.nanmax(np.abs(np.subtract(one, other, dtype="float64")), initial=0.0))
        if one.shape == other.shape and np.issubdtype(one.dtype, np.number)
        else np.inf
        for one, other in zip(expected, found, strict=True)
    )


def _first_that_differs(model, copied, inputs):
    paths = {id(layer): path for path, layer in walk(model)}
    inner = [_inner_outputs(each, inputs) for each in (model, copied)]
    for (layer, one), (_, other) in zip(*inner, strict=False):
        parts = [[np.asarray(p) for p in keras.tree.flatten(x)] for x in (one, other)]
        if not _close(*parts, model):
            return paths[id(layer)], layer
    return "", model


def _inner_outputs(model, inputs):
    layers, seen = [layer for path, layer in walk(model) if path], []
    with observed(layers, lambda layer, output: seen.append((layer, output))):
        _outputs(model, inputs)
    return seen
