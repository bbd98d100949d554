"""Measures how far the outputs of two models are apart."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.weights import walk

TOLERANCES = {"float16": 2e-2, "bfloat16": 1e-1}
TOLERANCE = 1e-4  # share of the largest output of a row
SCALES = (1.0, -1.0, 0.01, 1000.0)  # of the rows of drawn inputs
LENGTHS = (8, 32, 128)  # lengths to try for axes of unknown length


class MergeError(ValueError):
    """The merged model would compute something else, so it was not returned."""


def tolerance_of(model: keras.Model) -> float:
    """Return the difference that rounding may make, as a share of the outputs."""
    kinds = {layer.compute_dtype for _, layer in walk(model)}
    return max(TOLERANCES.get(kind, TOLERANCE) for kind in kinds)


def error_on_drawn(
    model: keras.Model, other: keras.Model, nonnegative: bool | Sequence[str] = False
) -> float:
    """Return the largest difference of two models on drawn inputs.

    Args:
        model: A Keras model.
        other: Another one with the same inputs.
        nonnegative: Whether inputs are never negative, or the names of those.

    Raises:
        MergeError: If the model takes none of the drawn inputs.
    """
    problem = None
    for inputs in _drawn(model, nonnegative):
        try:
            expected = model(inputs, training=False)
        except Exception as error:  # layers may raise anything on such inputs
            problem = error
            continue
        return distance(expected, other(inputs, training=False))
    raise MergeError(
        f"Model {model.name!r} rejects all drawn inputs, so its outputs could not be "
        "compared. Pass rows of your own as `data`. The model reports: "
        f"{problem}"
    )


def error_on_rows(model: keras.Model, other: keras.Model, data: Any) -> float:
    """Return the largest difference of two models on given rows."""
    return distance(*(one.predict(data, verbose=0) for one in (model, other)))


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
