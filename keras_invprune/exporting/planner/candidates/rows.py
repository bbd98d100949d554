"""Files without single zeros, as `keras_invprune.exporting.sparse_rows` stores them.

They are as fast as the dense file, and smaller than what the converter makes of many
zeros. Files that compute with 8-bit weights cannot be loaded in this form, so only
those are tried that convert the weights back to floats.
"""

from collections.abc import Callable

from keras_invprune.exporting import converter
from keras_invprune.exporting.planner.candidates._base import (
    Candidate,
    NotTried,
    Source,
)
from keras_invprune.exporting.planner.candidates.quantized import quantized
from keras_invprune.exporting.sparse_rows import without_zeros


def _rows(name: str, dense: Callable[[Source], bytes], rounding: float) -> Candidate:
    """Return the kind of files that a dense file becomes without its zeros."""

    def make(source: Source) -> bytes:
        found = without_zeros(dense(source))
        if found is None:
            raise NotTried("no kernel gets smaller without its zeros")
        return found

    return Candidate(f"{name}, sparse rows", make, rounding, uses_zeros=True)


CANDIDATES = [
    _rows("float32", lambda source: source.dense, 0.0),
    _rows(
        "float16",
        lambda source: source.tflite("float16"),
        converter.ROUNDING["float16"],
    ),
    _rows(
        "int8 weights",
        lambda source: quantized(source, "weight_only_wi8_afp32"),
        converter.ROUNDING["int8"],
    ),
]
