"""Measures how far the outputs of two models are apart."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.weights import walk

TOLERANCES = {"float16": 2e-2, "bfloat16": 1e-1}
TOLERANCE = 1e-5  # share of the largest output of a row
MOVED = 1e-6  # the share by which inputs are moved, to see how outputs follow
TIMES = 10  # outputs may differ by as much as the original's own, times this
ROWS = 256  # the given rows that are moved
SCALES = (1.0, -1.0, 0.01, 1000.0)  # of the rows of drawn inputs
LENGTHS = (8, 32, 128)  # lengths to try for axes of unknown length


class MergeError(ValueError):
    """The merged model would compute something else, so it was not returned."""


class Measured(NamedTuple):
    """A difference between two models.

    Attributes:
        error: The largest one, as a share of the largest output of its row.
        allowed: What rounding explains.
    """

    error: float
    allowed: float


def on_drawn(
    model: keras.Model, other: keras.Model, nonnegative: bool | Sequence[str] = False
) -> Measured | None:
    """Compare two models on drawn inputs; return None if the first takes none.

    Args:
        model: A Keras model.
        other: Another one with the same inputs.
        nonnegative: Whether inputs are never negative, or the names of those.
    """
    for inputs in _drawn(model, nonnegative):
        try:
            return _measured(model, other, inputs)
        except MergeError:
            raise
        except Exception:  # layers may raise anything on such inputs
            continue
    return None


def on_rows(model: keras.Model, other: keras.Model, data: Any) -> Measured:
    """Compare two models on all given rows; rounding is judged on the first ones."""
    found = [one.predict(data, verbose=0) for one in (model, other)]
    few = keras.tree.map_structure(lambda part: np.asarray(part)[:ROWS], data)
    return Measured(distance(*found), _measured(model, model, few).allowed)


def _measured(model, other, inputs) -> Measured:
    expected = model(inputs, training=False)
    # Where the model itself amplifies rounding errors of its inputs, so may the other.
    moved = keras.tree.map_structure(_moved, inputs)
    own = distance(expected, model(moved, training=False))
    try:
        found = other(inputs, training=False)
    except Exception as error:
        raise MergeError(
            f"The merged model fails on inputs that the model takes: {error} No model "
            "is returned, and yours is unchanged."
        ) from error
    allowed = max(_tolerance(model), TIMES * own)
    return Measured(distance(expected, found), allowed)


def _moved(part):
    kind = keras.backend.standardize_dtype(part.dtype)
    return part * (1 + MOVED) if keras.backend.is_float_dtype(kind) else part


def _tolerance(model) -> float:
    kinds = {layer.compute_dtype for _, layer in walk(model)}
    return max(TOLERANCES.get(kind, TOLERANCE) for kind in kinds)


def distance(one: Any, other: Any) -> float:
    """Return the largest difference, as a share of the largest value of its row."""
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(_distance(*map(_array, pair)) for pair in pairs)


def _array(part) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(part), "float64")


def _distance(one, other) -> float:
    axes = tuple(range(1, one.ndim))
    size = np.abs(one).max(axes, initial=0.0, keepdims=True)
    far = np.abs(one - other) / np.where(size, size, 1.0)
    return float(np.max(np.nan_to_num(far, nan=np.inf), initial=0.0))


def _drawn(model, nonnegative) -> Iterator[Any]:
    specs = input_structure(model)
    for length in LENGTHS:
        random = np.random.default_rng(0)
        yield keras.tree.map_structure(
            lambda spec, random=random, length=length: _values(
                spec, random, length, nonnegative
            ),
            specs,
        )


def _values(spec, random, length, nonnegative):
    rows = len(SCALES) if spec.shape[0] is None else spec.shape[0]
    shape = [rows, *(size or length for size in spec.shape[1:])]
    if not keras.backend.is_float_dtype(spec.dtype):
        return keras.ops.cast(random.integers(0, 2, shape), spec.dtype)
    scales = np.resize(SCALES, rows).reshape(-1, *[1] * (len(shape) - 1))
    values = random.normal(size=shape) * scales
    if nonnegative is True or (nonnegative and spec.name in nonnegative):
        values = np.abs(values)
    return keras.ops.cast(values, spec.dtype)
