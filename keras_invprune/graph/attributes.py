"""Gives a layer's twin what the layer holds in its attributes, which no file holds.

Data are copied. A function that remembers only constants is shared. Layers, and other
objects that belong to one model, stay those of the twin; but what they remember must
be the same.
"""

import copy
import enum
import functools
import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.graph.connections import OF_ONE_SHAPE
from keras_invprune.graph.twins import DifferentError

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.ndarray, np.generic)
FIXED = (enum.Enum, types.ModuleType, type, range, frozenset, np.ufunc)
_X = keras.Input((), name="x")  # names keep Keras from counting these
# Attributes that every Keras layer and model has are not the author's state.
OF_KERAS = {
    *vars(keras.layers.Layer(name="layer")),
    *vars(keras.Model(name="model")),
    *vars(keras.Model(_X, _X, name="graph")),
}
CONFIGURED = (
    keras.regularizers.Regularizer,
    keras.initializers.Initializer,
    keras.constraints.Constraint,
)
OF_ONE = (tf.Variable, types.FunctionType)  # two of them are never the same
# Objects that belong to one model, to a thread or to a library.
OF_OTHERS = ("keras", "tensorflow", "builtins", "functools", "logging", "threading")
ABSENT: Any = object()


class _UnknownError(TypeError):
    """A value can be neither copied nor shared."""


def is_of(thing: Any, *packages: str) -> bool:
    """Return whether the class of an object comes from one of these packages."""
    return type(thing).__module__.partition(".")[0] in packages


def own_attributes(layer: keras.Layer) -> dict:
    """Return the attributes that a class or its user adds to those of Keras.

    Keras's own layers keep their private ones in their configs and files.
    """
    hidden = "_" if is_of(layer, "keras") else "_self_"
    return {
        name: value
        for name, value in vars(layer).items()
        if not (name in OF_KERAS or name.startswith(hidden))
    }


def carry_attributes(layer: keras.Layer, twin: keras.Layer):
    """Give a twin the values that the layer's attributes have now, except layers.

    Raises:
        DifferentError: If a function remembers other values in the copy.
    """
    counterparts = _Counterparts()
    for name, value in own_attributes(layer).items():
        other = vars(twin).get(name, ABSENT)
        try:
            made = counterparts.of(value, other)
        except _UnknownError:
            continue  # outputs will tell
        except DifferentError as error:
            raise DifferentError(f"attribute {name!r}: {error}") from error
        if not same(made, other):
            setattr(twin, name, made)


def carry_configured(layer: keras.Layer, twin: keras.Layer):
    """Give a twin the regularizers, constraints and initializers of its layer.

    Those of kernels of one shape are in its config, which may be that of another shape.
    """
    for name, value in vars(layer).items():
        other = vars(twin).get(name)
        if isinstance(value, OF_ONE_SHAPE):
            continue
        kinds = {
            isinstance(each, CONFIGURED) for each in (value, other) if each is not None
        }
        if kinds == {True} and not configured_alike(value, other):
            setattr(twin, name, value)


def carry_functions(layer: keras.Layer, twin: Any):
    """Give a twin the function objects of its layer, which no config can hold."""
    for name, value in vars(layer).items():
        other = vars(twin).get(name)
        both = isinstance(value, types.FunctionType) and callable(other)
        if both and other is not value and _is_free(value):
            setattr(twin, name, value)


def remembered(function: types.FunctionType) -> list:
    """Return the contents of a function's closure, and its defaults."""
    held = [_content(cell) for cell in function.__closure__ or ()]
    defaults = (function.__kwdefaults__ or {}).values()
    return [*held, *(function.__defaults__ or ()), *defaults]


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _is_free(function):
    """Return whether two models may share a function: it holds no state."""
    return all(
        _is_free(value)
        if isinstance(value, types.FunctionType)
        else isinstance(value, (*PLAIN, *FIXED))
        for value in remembered(function)
    )


class _Counterparts:
    """What a twin must hold where its layer holds a value, made once for each."""

    def __init__(self):
        self._made = {}

    def of(self, value, other):
        """Return the counterpart of `value`, where the twin now holds `other`."""
        if value is other or isinstance(value, keras.Layer):
            return _known(other)
        if isinstance(value, keras.Variable):
            return _state(value, other)
        if isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, (*PLAIN, *FIXED)):
            return value
        if isinstance(value, dict | list | tuple | set):
            return self._collection(value, other)
        if isinstance(value, tf.Variable):
            return _variable(value, other)
        if keras.ops.is_tensor(value) and hasattr(value, "numpy"):
            return value
        if hasattr(value, "export") and hasattr(value, "lookup"):
            return _table(value, other)
        if isinstance(value, CONFIGURED):
            return other if configured_alike(value, other) else value
        if isinstance(value, functools.partial):
            return self._partial(value, other)
        if isinstance(value, types.FunctionType):
            return self._function(value, other)
        return self._object(value, other)

    def _collection(self, value, other):
        if isinstance(value, dict):
            others = other if isinstance(other, dict) else {}
            return {k: self.of(v, others.get(k, ABSENT)) for k, v in value.items()}
        kind = next(k for k in (list, tuple, set) if isinstance(value, k))
        ordered = isinstance(other, list | tuple) and len(other) == len(value)
        others = other if ordered else [ABSENT] * len(value)
        items = map(self.of, value, others)
        return type(value)(*items) if hasattr(value, "_fields") else kind(items)

    def _partial(self, value, other):
        kind, parts = type(value), (value.func, value.args, value.keywords)
        alike = type(other) is kind
        others = (other.func, other.args, other.keywords) if alike else ABSENT
        function, args, keywords = self.of(parts, others)
        return kind(function, *args, **keywords)

    def _function(self, value, other):
        if _is_free(value):
            return value
        if not isinstance(other, types.FunctionType):
            return _known(other)
        if value.__code__ != other.__code__:
            raise DifferentError(
                f"{value.__qualname__} is a different function in the copy."
            )
        for one, two in zip(remembered(value), remembered(other), strict=True):
            self._must_be_remembered(value, one, two)
        return other

    def _must_be_remembered(self, function, one, two):
        try:
            made = self.of(one, two)
        except _UnknownError:
            return
        if not same(made, two):
            raise DifferentError(
                f"{function.__qualname__} holds {one!r:.60}, and in the copy "
                f"{two!r:.60}."
            )

    def _object(self, value, other):
        """Return a copy of an object of a custom class, with the twin's layers."""
        parts = _parts(value)
        if is_of(value, *OF_OTHERS) or _is_kept_by_keras(value) or not parts:
            return _known(other)
        if id(value) not in self._made:
            alike = type(value) is type(other)
            try:
                made = copy.copy(other if alike else value)
            except Exception:  # some objects cannot be copied
                return _known(other)
            self._made[id(value)] = made
            others = _parts(other) if alike else {}
            for name, part in parts.items():
                found = self.of(part, others.get(name, ABSENT))
                object.__setattr__(made, name, found)
        return self._made[id(value)]


def _is_kept_by_keras(value):
    """Return whether a class is derived from one of Keras, such as a metric."""
    kinds = type(value).__mro__
    return any(kind.__module__.partition(".")[0] == "keras" for kind in kinds)


def _known(other):
    if other is ABSENT:
        raise _UnknownError
    return other


def _state(value, other):
    """Return the twin's variable, with this value; some are not among its weights."""
    found = _known(other)
    if isinstance(found, keras.Variable) and found.shape == value.shape:
        found.assign(value)
    return found


def _variable(value, other):
    if not isinstance(other, tf.Variable) or other.shape != value.shape:
        return tf.Variable(value, trainable=value.trainable, dtype=value.dtype)
    other.assign(value)
    return other


def _table(value, other):
    """Return a lookup table of the same words; one that never changes is shared."""
    if type(other) is type(value) and _words(value) == _words(other):
        return other
    if not hasattr(value, "insert"):
        return value
    table = _known(other)
    table.remove(table.export()[0])
    table.insert(*value.export())
    return table


def _words(table) -> list:
    keys, values = (part.numpy().tolist() for part in table.export())
    return sorted(zip(keys, values, strict=True))


def _parts(value) -> dict:
    """Return an object's attributes, in its dictionary or its slots."""
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [n for part in slots for n in ([part] if isinstance(part, str) else part)]
    held = {
        name: getattr(value, name)
        for name in names
        if hasattr(value, name) and not name.startswith("__")
    }
    return {**held, **getattr(value, "__dict__", {})}


def configured_alike(one: Any, other: Any) -> bool:
    """Return whether two regularizers or constraints (or None) are equivalent."""
    if one is other or type(one) is not type(other):
        return one is other
    if not hasattr(one, "get_config"):
        return False
    return same(one.get_config(), other.get_config())


def same(one: Any, other: Any, compared: set | None = None) -> bool:
    """Return whether two values are equal, with all that they hold."""
    compared = set() if compared is None else compared
    pair = id(one), id(other)
    if one is other or pair in compared:  # objects may hold each other
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        compared.add(pair)
        return _same_items(one, other, compared)
    for kind in (list, tuple):  # Keras has its own kind of list, which tracks
        if isinstance(one, kind) and isinstance(other, kind):
            compared.add(pair)
            return _same_items(dict(enumerate(one)), dict(enumerate(other)), compared)
    if type(one) is not type(other) or isinstance(one, OF_ONE):
        return False
    if isinstance(one, np.ndarray) or keras.ops.is_tensor(one):
        one, other = np.asarray(one), np.asarray(other)
        return one.dtype == other.dtype and np.array_equal(one, other)
    if not isinstance(one, (*PLAIN, *FIXED, set)) and (parts := _parts(one)):
        compared.add(pair)
        return _same_items(parts, _parts(other), compared)
    return bool(one == other or (one != one and other != other))


def _same_items(one, other, compared):
    return one.keys() == other.keys() and all(
        same(one[key], other[key], compared) for key in one
    )
