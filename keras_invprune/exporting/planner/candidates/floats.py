"""Float files that hold all weights, zeros included."""

from keras_invprune.exporting import converter
from keras_invprune.exporting.planner.candidates._base import Candidate

CANDIDATES = [
    Candidate("float32", lambda source: source.dense),
    Candidate(
        "float16",
        lambda source: source.tflite("float16"),
        rounding=converter.ROUNDING["float16"],
    ),
]
