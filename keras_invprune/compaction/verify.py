"""Compares a smaller model with the original, and raises if they differ."""

import keras
import numpy as np

from keras_invprune.compaction.distance import answered_rows, distances
from keras_invprune.compaction.surgery import CompactionError
from keras_invprune.contracts import Nested
from keras_invprune.graph.frugal import frugal
from keras_invprune.graph.outputs import answered, is_text

ROWS = 256  # the maximum number of given rows that are compared


def check_same(model: keras.Model, made: keras.Model, data: Nested = None) -> bool:
    """Raise if two models differ on drawn inputs, or on given ones.

    Differences are relative to the largest output of a row. Where the original itself
    amplifies rounding errors of its inputs, it may differ as much. Where it is not
    finite, nothing is compared: zero times infinity is not a number, nor is zero times
    a missing value, and the smaller model does not multiply by zero.

    Args:
        model: The original.
        made: The smaller model.
        data: Rows in the structure that the model takes; None for drawn inputs only.

    Returns:
        Whether anything was compared. The original may reject all drawn inputs.

    Raises:
        CompactionError: If they differ.
        ValueError: If no row is given for which an output is finite.
    """
    with frugal(model, made):
        return _compared(model, made, data)


def _compared(model: keras.Model, made: keras.Model, data: Nested | None) -> bool:
    where = "drawn inputs"
    ran = any([_check(model, made, *pair, where) for pair in answered(model)])
    if data is None:
        return ran
    rows = keras.tree.map_structure(lambda part: part[:ROWS], data)
    where = "the given rows"
    if not any([_check(model, made, *x, where) for x in answered_rows(model, rows)]):
        raise ValueError(
            "`data` must have rows for which the model's outputs are finite: nothing "
            f"else can be compared. Received: none in the first {ROWS} rows. Replace "
            "missing values as for `fit`, or pass other rows."
        )
    return True


def _check(
    model: keras.Model,
    made: keras.Model,
    inputs: Nested,
    outputs: list[np.ndarray],
    where: str,
) -> bool:
    """Raise if outputs differ; return whether one of them could be compared."""
    for place, far in enumerate(distances(model, made, inputs, outputs)):
        if far.error > far.allowed:
            raise CompactionError(
                f"Output {place} of the smaller model differs on {where} by "
                f"{far.error:.2g} of its size; at most {far.allowed:.0e} is allowed. "
                "No model is returned, and yours is unchanged. Please report this with "
                "the model's config."
            )
    count = len(keras.tree.flatten(model.outputs))
    return any(is_text(o) or np.isfinite(o).any() for o in outputs[:count])
