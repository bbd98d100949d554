"""A .tflite file as a text and arrays, and back to the same bytes.

The text is the file without its arrays; before it, two numbers for each array: how many
of the text's bytes come first, and whether the array is held as differences.
"""

import numpy as np

from keras_invprune.exporting import litert
from keras_invprune.packing.arrays import DTYPES, Array, unsigned
from keras_invprune.packing.container import TFLITE, Contents
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.reader import Reader, varint

SMALLEST = 64  # bytes of an array that is worth a header


def contents_of(content: bytes) -> Contents:
    """Return the text and the arrays of a .tflite file.

    Raises:
        PackError: If it is not one.
    """
    try:
        stored = litert.stored_arrays(content)
    except Exception as error:
        raise PackError(
            f"This is not a .tflite file that can be read: {error!r:.200}. Pass a "
            "file that `kip.export` or TensorFlow's converter wrote."
        ) from error
    head, text, arrays, end = b"", b"", [], 0
    for place in sorted(stored, key=lambda place: place.start):
        if place.start < end or place.stop - place.start < SMALLEST:
            continue
        dtype = place.dtype if place.dtype in DTYPES else "uint8"
        shape = place.shape if place.dtype in DTYPES else (-1,)
        bits = np.frombuffer(content[place.start : place.stop], unsigned(dtype))
        if place.ordered:
            bits = np.diff(bits, prepend=bits.dtype.type(0))
        arrays.append(Array(dtype, bits.reshape(shape)))
        head += varint(place.start - end) + varint(int(place.ordered))
        text += content[end : place.start]
        end = place.stop
    return Contents(TFLITE, head + text + content[end:], arrays)


def file_of(contents: Contents) -> bytes:
    """Return the .tflite file of a text and arrays.

    Raises:
        PackError: If the text is too short.
    """
    reader = Reader(contents.text)
    places = [(reader.varint(), reader.varint()) for _ in contents.arrays]
    parts = []
    for (before, ordered), (_, bits) in zip(places, contents.arrays, strict=True):
        parts.append(reader.take(before))
        flat = bits.reshape(-1)
        parts.append((np.cumsum(flat, dtype=flat.dtype) if ordered else flat).tobytes())
    return b"".join([*parts, reader.rest()])
