"""Compares a smaller model with the original, and raises if they differ."""

import logging
from typing import Any

import keras

from keras_invprune.compaction.distance import TOLERANCE, distances
from keras_invprune.compaction.surgery import CompactionError
from keras_invprune.graph.inputs import dense, input_structure, standardized
from keras_invprune.graph.outputs import TOLERANCES, answered, outputs_of

logger = logging.getLogger("keras_invprune")

ROWS = 256  # the maximum number of given rows that are compared


def check_same(model: keras.Model, made: keras.Model, data: Any = None):
    """Raise if two models differ on drawn inputs, or on given ones.

    Differences are relative to the largest output of a row. Where the original itself
    amplifies rounding errors of its inputs, it may differ as much. Where it is not
    finite, nothing is compared: zero times infinity is not a number, and the smaller
    model does not multiply by zero.

    Args:
        model: The original.
        made: The smaller model.
        data: Rows in the structure that the model takes; None for drawn inputs only.

    Raises:
        CompactionError: If they differ.
    """
    drawn = False
    for inputs, outputs in answered(model):
        _check(model, made, inputs, outputs, "drawn inputs")
        drawn = True
    if not drawn and data is None:
        logger.warning(
            "Model %r rejects all drawn inputs, so the outputs of the smaller model "
            "were not compared. Call `compact` with `data=` of your own rows.",
            model.name,
        )
    if data is not None:
        rows = keras.tree.map_structure(lambda part: part[:ROWS], dense(data))
        inputs = standardized(input_structure(model), rows)
        _check(model, made, inputs, outputs_of(model, inputs), "the given rows")


def _check(model, made, inputs, outputs, where):
    tolerance = TOLERANCES.get(model.compute_dtype, TOLERANCE)
    found = distances(model, made, inputs, outputs, tolerance)
    for place, (error, allowed) in enumerate(found):
        if error > allowed:
            raise CompactionError(
                f"Output {place} of the smaller model differs on {where} by "
                f"{error:.2g} of its size; at most {allowed:.0e} is allowed. No model "
                "is returned, and yours is unchanged. Please report this with the "
                "model's config."
            )
