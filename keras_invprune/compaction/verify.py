"""Compares a smaller model with the original, and raises if they differ."""

from typing import Any

import keras

from keras_invprune.compaction.distance import answered_rows, distances
from keras_invprune.compaction.surgery import CompactionError
from keras_invprune.graph.inputs import dense
from keras_invprune.graph.outputs import answered

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
        for inputs, outputs in answered_rows(model, rows):
            _check(model, made, inputs, outputs, "the given rows")
        ran = True
    return ran


def _check(model, made, inputs, outputs, where):
    for place, far in enumerate(distances(model, made, inputs, outputs)):
        if far.error > far.allowed:
            raise CompactionError(
                f"Output {place} of the smaller model differs on {where} by "
                f"{far.error:.2g} of its size; at most {far.allowed:.0e} is allowed. "
                "No model is returned, and yours is unchanged. Please report this with "
                "the model's config."
            )
