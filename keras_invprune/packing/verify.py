"""Compares a model with what its packed file gives back."""

from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Nested
from keras_invprune.exporting.verify import SameOutputs, difference, sizes_of
from keras_invprune.graph import outputs
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.graph.twins import DifferentError
from keras_invprune.packing.container import Contents
from keras_invprune.packing.errors import PackError


def check_weights(contents: Contents, again: Contents) -> None:
    """Raise unless two contents have the same arrays, bit for bit.

    Raises:
        PackError: If they differ.
    """
    pairs = zip(contents.arrays, again.arrays, strict=True)
    if not all(a.dtype == b.dtype and np.array_equal(a.bits, b.bits) for a, b in pairs):
        raise PackError(
            "The unpacked model has different weights. The `load_own_variables` of its "
            "layers must restore what `save_own_variables` saves."
        )


def check_outputs(model: keras.Model, made: keras.Model) -> None:
    """Raise if two models with the same weights differ on drawn inputs.

    Only in evaluation: random states are not packed.

    Raises:
        PackError: If they differ.
    """
    try:
        outputs.check_outputs(model, made, training=False)
    except DifferentError as error:
        raise PackError(
            "The unpacked model has the same weights, but different outputs. The copy "
            f"below is the unpacked model. {error}"
        ) from error


def compared(
    model: keras.Model, made: keras.Model, data: Nested, tolerance: float | None
) -> dict[str, Any]:
    """Return how far the outputs of a quantized model are from the given one's.

    Args:
        model: The given model.
        made: The quantized one.
        data: ``x`` or ``(x, y)``; None for random inputs.
        tolerance: Largest difference as a share of the largest output, or None.

    Returns:
        The figures of `Packed`.

    Raises:
        PackError: If the difference is larger.
    """
    x, y = rows_of(data)
    before, after = (SameOutputs(each, x, y, None) for each in (model, made))
    errors, shares = [0.0], [0.0]
    for one, other in zip(before.outputs.values(), after.outputs.values(), strict=True):
        errors.append(difference(one, other))
        shares.append(errors[-1] / max(float(sizes_of(one).max()), 1e-12))
    if tolerance is not None and max(shares) > tolerance:
        raise PackError(
            f"The quantized model is off by {max(shares):.3g} of the largest output, "
            f"and {tolerance:.3g} is allowed. Nothing was written. Pass more `bits`, a "
            "larger `tolerance`, or train with quantized weights."
        )
    return {
        "max_abs_error": max(errors),
        "relative_error": max(shares),
        "accuracy": after.accuracy,
        "accuracy_before": before.accuracy,
    }
