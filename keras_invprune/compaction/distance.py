"""How far a smaller model's outputs are from the original's, and what may be rounding.

Differences are relative to the largest output of a row. Where the original itself
amplifies rounding errors, a smaller model may differ as much: in a row by
what was seen there or in nine of ten rows. A row is seen once and may be lucky; a few
rows must not excuse the others. Where the original is not finite, nothing is compared.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.given_rows import arrays_of
from keras_invprune.graph.inputs import input_structure, standardized
from keras_invprune.graph.outputs import TOLERANCES, is_text, outputs_of
from keras_invprune.graph.rows import VALUES
from keras_invprune.graph.weights import walk

TOLERANCE = 1e-5  # of float32; those of half precision are `TOLERANCES`
DRAWS = (0, 1)  # seeds of moves of all inputs and weights; in one, a row may be lucky
TIMES = 10  # outputs may differ by as much as the original's own, times this
LEAST, MOST = 4, 256  # rows that are compared at once; few of them, if they are large


class Distance(NamedTuple):
    """A difference between two models at one output.

    Attributes:
        largest: The largest one of all rows, as a share of the row's largest value.
        error: The same of the worst row: the one that rounding explains least.
        allowed: What rounding explains in that row.
    """

    largest: float
    error: float
    allowed: float


def fitting(model: keras.Model, x: Nested) -> Nested:
    """Return rows in the structure that a model takes; see `arrays_of` for errors."""
    structure = input_structure(model)
    return keras.tree.pack_sequence_as(structure, arrays_of(structure, x))


def answered_rows(model: keras.Model, data: Nested) -> Iterator[tuple[Nested, list]]:
    """Yield given rows, some at a time, each with the outputs of a model.

    Args:
        model: A built Keras model.
        data: Rows in the structure that the model takes (`fitting`).

    Returns:
        Pairs (inputs in this structure, flat list of outputs).
    """
    structure = input_structure(model)
    parts = keras.tree.flatten(data)
    values = sum(math.prod(np.shape(part)[1:]) for part in parts)
    at_once = min(max(VALUES // max(values, 1), LEAST), MOST)
    for start in range(0, len(parts[0]), at_once):
        few = slice(start, start + at_once)
        rows = keras.tree.map_structure(lambda part, few=few: part[few], data)
        inputs = standardized(structure, rows)
        yield inputs, outputs_of(model, inputs, in_parts=True)


def distances(
    model: keras.Model, made: keras.Model, inputs: Nested, outputs: list
) -> Iterator[Distance]:
    """Yield how far two models are apart, output by output; losses are left out.

    Args:
        model: The original.
        made: The smaller model.
        inputs: A batch.
        outputs: What the original makes of it (`outputs_of`).
    """
    count, tolerance = len(keras.tree.flatten(model.outputs)), _tolerance(model)
    found = outputs_of(made, inputs, in_parts=True)[:count]
    for place, (one, other) in enumerate(zip(outputs[:count], found, strict=True)):
        error = _errors(one, other)
        allowed = np.full(error.shape, tolerance)
        if np.any(error > tolerance):
            share = tolerance / TIMES  # half precision rounds smaller ones away
            moved = [
                _moved_outputs(model, inputs, share, seed)[place] for seed in DRAWS
            ]
            own = np.max([_errors(one, each) for each in moved], axis=0)
            usual = np.quantile(own, 0.9, method="lower")
            allowed = np.maximum(tolerance, TIMES * np.maximum(own, usual))
        if len(error):
            wrong = error > allowed
            worst = np.argmax(np.where(wrong, error, -1.0) if wrong.any() else error)
            yield Distance(
                float(error.max()), float(error[worst]), float(allowed[worst])
            )


def _tolerance(model: keras.Model) -> float:
    """Return the tolerance for the coarsest type in which a layer computes."""
    kinds = {layer.compute_dtype for _, layer in walk(model)}
    return max(TOLERANCES.get(kind, TOLERANCE) for kind in kinds)


def _moved_outputs(
    model: keras.Model, inputs: Nested, share: float, seed: int
) -> list[np.ndarray]:
    """Return the outputs where each input and each weight is moved by a small share.

    All inputs by the same share would hide what cancels: a ReLU net without biases
    follows such a share.
    """
    random = np.random.default_rng(seed)
    values = [(weight, _moved(weight, share, random)) for weight in model.weights]
    inputs = keras.tree.map_structure(lambda part: _moved(part, share, random), inputs)
    return outputs_of(model, inputs, values=values, in_parts=True)


def _moved(part: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """Return floats with each one a little larger or smaller."""
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(part.dtype)):
        return part
    larger = random.integers(0, 2, tuple(part.shape), "int8")
    shares = np.where(larger, np.float32(1 + share), np.float32(1 - share))
    return part * keras.ops.cast(shares, part.dtype)


def _errors(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the greatest difference in each row, as a share of its largest value.

    An output without axes is a row. Text that differs is infinitely far.
    """
    one, other = np.atleast_1d(one, other)
    if one.shape != other.shape:
        return np.full(max(1, len(one)), np.inf)
    rest = tuple(range(1, one.ndim))
    if is_text(one):
        return np.where(np.all(one == other, axis=rest), 0.0, np.inf)
    one, other = one.astype("float64"), other.astype("float64")
    finite = np.where(np.isfinite(one), np.abs(one), 0.0)
    size = np.max(finite, rest, initial=0.0, keepdims=True)
    alike = (one == other) | ~np.isfinite(one)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        far = np.where(alike, 0.0, np.abs(one - other) / size)
    return np.max(np.where(np.isnan(far), np.inf, far), rest, initial=0.0)
