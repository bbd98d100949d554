"""Weights on a few levels: an even grid for each array, on which zero stays zero."""

import numpy as np

from keras_invprune.graph.weights import Weight, kernels
from keras_invprune.packing.arrays import Array

BITS = range(2, 9)
BIAS_BITS = 8
SHARES = np.linspace(0.3, 1.0, 36)  # of the largest weight, where the grid may end
TRIED = 1 << 16  # weights on which grids are compared


def on_grid(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values rounded to k * step, for whole numbers |k| < 2**(bits - 1).

    The step is the one with the least squared error. Values beyond the grid get its
    last level. Zero stays zero. Values with NaN or infinity stay as they are.

    Args:
        values: float32.
        bits: Number of bits of a level.

    Returns:
        float32, in the same shape.
    """
    given = values[values != 0]
    if not given.size or not np.isfinite(given).all():
        return values
    last = np.float32(2 ** (bits - 1) - 1)
    steps = np.float32(np.abs(given).max()) * SHARES.astype(np.float32) / last
    steps = steps[steps > 0]  # it may be too small for float32
    if not steps.size:
        return values
    tried = given[:: -(-given.size // TRIED)].astype(np.float64)
    errors = [np.sum(np.square(_rounded(tried, s, last) - tried)) for s in steps]
    return _rounded(values, steps[int(np.argmin(errors))], last)


def _rounded(values: np.ndarray, step: np.float32, last: np.float32) -> np.ndarray:
    return step * np.clip(np.rint(values / step), -last, last) + np.float32(0)


def as_half(values: np.ndarray) -> np.ndarray:
    """Return values rounded to float16, or as they are if one would be 0 or infinite.

    Args:
        values: float32.

    Returns:
        float32, in the same shape.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16).astype(np.float32)
    kept = np.isfinite(rounded).all() and np.array_equal(rounded != 0, values != 0)
    return rounded if kept else values


def quantized(
    arrays: list[Array], variables: list[object], weights: dict[str, Weight], bits: int
) -> list[Array]:
    """Return arrays of a model on fewer levels.

    Kernels get `bits` bits and biases 8. Other floats, such as the statistics of
    BatchNorm, are rounded to float16. All that is not float32 stays as it is.

    Args:
        arrays: What the model's layers save.
        variables: The variables behind them.
        weights: The result of `weights_by_key(model)`.
        bits: Number of bits of a kernel's level.
    """
    of_kernels = {id(weight.variable) for weight in kernels(weights).values()}
    biases = {id(w.variable) for w in weights.values() if w.variable.name == "bias"}
    found = []
    for array, variable in zip(arrays, variables, strict=True):
        if array.dtype != "float32":
            found.append(array)
            continue
        values = array.bits.view(np.float32)
        if id(variable) in of_kernels:
            values = on_grid(values, bits)
        elif id(variable) in biases:
            values = on_grid(values, max(bits, BIAS_BITS))
        else:
            values = as_half(values)
        found.append(Array(array.dtype, values.view(array.bits.dtype)))
    return found
