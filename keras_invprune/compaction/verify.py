"""Compares a smaller model with the original, and raises if they differ."""

from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.surgery import CompactionError
from keras_invprune.graph.inputs import dense, input_structure, standardized
from keras_invprune.graph.outputs import answered, outputs_of
from keras_invprune.graph.weights import walk

TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}  # shares of an output's size
TOLERANCE = 1e-5
MOVED = 1e-6  # the share by which inputs are moved, to see how outputs follow
TIMES = 10  # outputs may differ by as much as the original's own, times this
ROWS = 256  # the maximum number of given rows that are compared


def check_same(model: keras.Model, made: keras.Model, data: Any = None) -> bool:
    """Raise if two models differ on drawn inputs, or on given ones.

    Differences are relative to the largest output of a row. Where the original itself
    amplifies rounding errors of its inputs, it may differ as much. Where it is not
    finite, nothing is compared: zero times infinity is not a number, and the smaller
    model does not multiply by zero.

    Args:
        model: The original.
        made: The smaller model.
        data: Rows in the structure that the model takes; None for drawn inputs only.

    Returns:
        Whether anything was compared. The original may reject all drawn inputs.

    Raises:
        CompactionError: If they differ.
    """
    ran = False
    for inputs, outputs in answered(model):
        _check(model, made, inputs, outputs, "drawn inputs")
        ran = True
    if data is not None:
        rows = keras.tree.map_structure(lambda part: part[:ROWS], dense(data))
        inputs = standardized(input_structure(model), rows)
        _check(model, made, inputs, outputs_of(model, inputs), "the given rows")
        ran = True
    return ran


def _check(model, made, inputs, outputs, where):
    count = len(keras.tree.flatten(model.outputs))
    found = outputs_of(made, inputs)[:count]
    tolerance = _tolerance(model)
    for place, (one, other) in enumerate(zip(outputs[:count], found, strict=True)):
        far = _distances(one, other)
        if np.any(far > tolerance) and np.any(
            far > np.maximum(tolerance, TIMES * _own(model, inputs, outputs, place))
        ):
            raise CompactionError(
                f"Output {place} of the smaller model differs on {where} by "
                f"{far.max():.2g} of its size; at most {tolerance:.0e} is allowed. No "
                "model is returned, and yours is unchanged. Please report this with "
                "the model's config."
            )


def _tolerance(model) -> float:
    """Return the tolerance for the coarsest type in which a layer computes."""
    kinds = {layer.compute_dtype for _, layer in walk(model)}
    return max(TOLERANCES.get(kind, TOLERANCE) for kind in kinds)


def _own(model, inputs, outputs, place) -> np.ndarray:
    """Return how far each row of an output moves with rounding errors of inputs."""
    moved = outputs_of(model, keras.tree.map_structure(_moved, inputs))
    return _distances(outputs[place], moved[place])


def _moved(part):
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(part.dtype))
    return part * (1 + MOVED) if is_float else part


def _distances(one, other) -> np.ndarray:
    """Return the greatest difference in each row, as a share of its largest value."""
    if one.shape != other.shape:
        return np.array([np.inf])
    one, other = one.astype("float64"), other.astype("float64")
    rest = tuple(range(1, one.ndim))
    finite = np.where(np.isfinite(one), np.abs(one), 0.0)
    size = np.max(finite, rest, initial=0.0, keepdims=True)
    alike = (one == other) | ~np.isfinite(one)
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(alike, 0.0, np.abs(one - other) / size)
    return np.max(np.nan_to_num(far, nan=np.inf), rest, initial=0.0)
