"""Files without the zeros, as the converter writes them.

The converter decides for each kernel between blocks along the inputs, single zeros and
none. LiteRT multiplies only float blocks of 4 and int8 blocks of 16 as they are, in
Dense layers. Everything else it fills up with zeros when the file is loaded. Some of
these files are wrong or cannot be loaded, which is why all of them are run.
"""

from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.planner.candidates._base import (
    STATIC,
    Candidate,
    NotTried,
    Source,
)


def _sparse(source: Source, *options: str, calibrated: bool = False) -> bytes:
    """Return the file of a source without its zeros.

    Raises:
        NotTried: If the converter leaves out no zeros, or leaves out more.
    """
    made = source.tflite(*options, "sparsity", calibrated=calibrated)
    if not litert.is_sparse(made):
        raise NotTried("no kernel has enough zeros for the converter to leave out")
    if litert.lacks_entries(made):
        raise NotTried(
            "the converter stores a kernel in blocks that its number of inputs is not "
            "a multiple of, and leaves out the last inputs"
        )
    return made


CANDIDATES = [
    Candidate("float32, sparse", _sparse, uses_zeros=True),
    Candidate(
        "float16, sparse",
        lambda source: _sparse(source, "float16"),
        rounding=converter.ROUNDING["float16"],
        uses_zeros=True,
    ),
    Candidate(
        "int8 dynamic, sparse",
        lambda source: _sparse(source, "int8"),
        rounding=converter.ROUNDING["int8"],
        uses_zeros=True,
    ),
    Candidate(
        "int8 static, sparse",
        lambda source: _sparse(source, "int8", calibrated=True),
        rounding=STATIC,
        uses_zeros=True,
    ),
]
