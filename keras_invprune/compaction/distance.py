"""How far a smaller model's outputs are from the original's, and what may be rounding.

Differences are relative to the largest output of a row. Where the original itself
amplifies rounding errors of its inputs, a smaller model may differ as much. Where the
original is not finite, nothing is compared.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.graph.outputs import outputs_of

TOLERANCE = 1e-5
MOVED = 1e-6  # the share by which inputs are moved, to see how outputs follow
TIMES = 10  # outputs may differ by as much as the original's own, times this


class Distance(NamedTuple):
    """A difference between two models at one output.

    Attributes:
        error: The largest one, as a share of the largest value of its row.
        allowed: What rounding explains.
    """

    error: float
    allowed: float


def distances(
    model: keras.Model, made: keras.Model, inputs: Any, outputs: list, tolerance: float
) -> Iterator[Distance]:
    """Yield how far two models are apart, output by output; losses are left out.

    Args:
        model: The original.
        made: The smaller model.
        inputs: A batch.
        outputs: What the original makes of it (`outputs_of`).
        tolerance: What is allowed even if the original is not sensitive.
    """
    count = len(keras.tree.flatten(model.outputs))
    found = outputs_of(made, inputs)[:count]
    for place, (one, other) in enumerate(zip(outputs[:count], found, strict=True)):
        error, allowed = _distance(one, other), tolerance
        if error > tolerance:
            moved = outputs_of(model, keras.tree.map_structure(_moved, inputs))
            allowed = max(tolerance, TIMES * _distance(one, moved[place]))
        yield Distance(error, allowed)


def _moved(part):
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(part.dtype))
    return part * (1 + MOVED) if is_float else part


def _distance(one, other) -> float:
    """Return the greatest difference, as a share of the largest value of its row."""
    if one.shape != other.shape:
        return np.inf
    one, other = one.astype("float64"), other.astype("float64")
    finite = np.where(np.isfinite(one), np.abs(one), 0.0)
    size = np.max(finite, tuple(range(1, one.ndim)), initial=0.0, keepdims=True)
    alike = (one == other) | ~np.isfinite(one)
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(alike, 0.0, np.abs(one - other) / size)
    return float(np.max(np.nan_to_num(far, nan=np.inf), initial=0.0))
