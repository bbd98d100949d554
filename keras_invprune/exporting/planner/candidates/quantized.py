"""Quantized files that hold all weights, zeros included.

litert-quantizer makes them from the dense float file, since it leaves sparse tensors as
they are. TensorFlow's converter makes one of its own, which is sometimes faster.
"""

import functools
import warnings
from typing import Any

import numpy as np

from keras_invprune.exporting import converter
from keras_invprune.exporting.planner.candidates._base import (
    FOUR_BITS,
    STATIC,
    Candidate,
    Source,
    needing,
)

# Inputs and outputs of the file stay float, so that it replaces the float file.
FLOAT_ENDS = [
    {"regex": ".*", "operation": name, "algorithm_key": "no_quantize"}
    for name in ("INPUT", "OUTPUT")
]


def quantized(source: Source, recipe: str) -> bytes:
    """Return the quantized file of a source, made once.

    Args:
        source: The model.
        recipe: Name of a recipe of litert-quantizer.

    Raises:
        NotTried: If litert-quantizer is missing, or rows to calibrate with.
    """
    return source.once(recipe, functools.partial(_quantized, source, recipe))


def _quantized(source: Source, recipe: str) -> bytes:
    with needing("litert-quantizer", "quantize"):
        from litert_quantizer import recipe as recipes
        from litert_quantizer.quantizer import Quantizer
    with warnings.catch_warnings():
        # It keeps all tensors to see their ranges, and the Interpreter warns of that.
        warnings.filterwarnings("ignore", ".*preserve_all_tensors", UserWarning)
        quantizer = Quantizer(bytearray(source.dense))
        quantizer.load_quantization_recipe(getattr(recipes, recipe)() + FLOAT_ENDS)
        ranges = _ranges(quantizer, source) if quantizer.need_calibration else None
        found = quantizer.quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(found.quantized_model)


def _ranges(quantizer: Any, source: Source) -> dict[str, dict[str, np.ndarray]]:
    """Return the least and the largest value of each tensor over all batches.

    The library itself averages them over batches, which clips activations.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for batch in source.examples():
        new = quantizer.calibrate({"serving_default": [batch]}, num_threads=1)
        for name, bounds in new.items():
            for bound, value in bounds.items():
                wider = np.minimum if bound == "min" else np.maximum
                old = found.setdefault(name, {}).get(bound, value)
                found[name][bound] = wider(old, value)
    return found


# By name: the recipe, and the error of the number format as a share of the largest
# output.
RECIPES = {
    "int8 dynamic": ("dynamic_wi8_afp32", converter.ROUNDING["int8"]),
    "int8 weights": ("weight_only_wi8_afp32", converter.ROUNDING["int8"]),
    "int8 static": ("static_wi8_ai8", STATIC),
    "int8 static, 16-bit activations": ("static_wi8_ai16", converter.ROUNDING["int8"]),
    "int4 dynamic": ("dynamic_wi4_afp32", FOUR_BITS),
    "int4 weights": ("weight_only_wi4_afp32", FOUR_BITS),
}

CANDIDATES = [
    Candidate(
        name,
        functools.partial(quantized, recipe=recipe),
        rounding=rounding,
        libraries=("ai-edge-litert", "litert-quantizer"),
    )
    for name, (recipe, rounding) in RECIPES.items()
]
CANDIDATES.append(
    Candidate(
        "int8 dynamic, converter",
        lambda source: source.tflite("int8"),
        rounding=converter.ROUNDING["int8"],
    )
)
