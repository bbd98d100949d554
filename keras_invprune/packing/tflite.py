"""A .tflite file as a text and arrays, and back to the same bytes.

The text is the file without its arrays; before it, two numbers for each array: how many
of the text's bytes come first, and whether the array is held as differences.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_invprune.exporting import litert
from keras_invprune.packing.arrays import DTYPES, Array, unsigned
from keras_invprune.packing.container import TFLITE, Contents
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.reader import Reader, varint

IDENTIFIER = b"TFL3"  # of the format; its place is behind the first number
SMALLEST = 64  # bytes of an array that is worth a header


class Stored(NamedTuple):
    """An array in a .tflite file.

    Attributes:
        start: Its first byte in the file.
        array: The array; a row of bytes if its dtype or size is another than known.
        ordered: Whether its numbers mostly grow, as those of a sparse index do.
    """

    start: int
    array: Array
    ordered: bool


def contents_of(content: bytes) -> Contents:
    """Return the text and the arrays of a .tflite file.

    Raises:
        PackError: If it is not one, or is damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise PackError(
            "This is not a .tflite file. Pass one that `kip.export` or TensorFlow's "
            "converter wrote. A .keras file is loaded first: "
            "`kip.pack(keras.saving.load_model(path), file)`."
        )
    try:
        found = {stored.start: stored for stored in _stored(content)}
    except Exception as error:
        raise PackError(
            f"The .tflite file is damaged: {error!r:.200}. Copy or make it again."
        ) from error
    head, text, arrays, end = b"", b"", [], 0
    for start, (_, array, ordered) in sorted(found.items()):
        size = array.bits.nbytes
        if start < end or size < SMALLEST:
            continue
        if ordered:
            first = array.bits.dtype.type(0)
            array = array._replace(bits=np.diff(array.bits, prepend=first))
        arrays.append(array)
        head += varint(start - end) + varint(int(ordered))
        text += content[end:start]
        end = start + size
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


def _stored(content: bytes) -> Iterator[Stored]:
    """Yield the tensors of a file, and the indices of sparse ones."""
    schema = litert.schema()
    kinds = vars(schema.TensorType).items()
    names = {code: name.lower() for name, code in kinds if isinstance(code, int)}
    model = schema.Model.GetRootAs(content, 0)
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            data = model.Buffers(tensor.Buffer()).DataAsNumpy()
            shape = tuple(map(int, np.atleast_1d(tensor.ShapeAsNumpy())))
            for part, dtype, axes in [
                (data, names[tensor.Type()], shape),
                *(
                    (index, index.dtype.name, None)
                    for index in _indices(tensor, schema)
                ),
            ]:
                if isinstance(part, np.ndarray) and part.size:  # NumPy's view
                    start = part.ctypes.data - np.frombuffer(content, "u1").ctypes.data
                    array = _array(part.tobytes(), dtype, axes)
                    yield Stored(start, array, ordered=axes is None)


def _indices(tensor: Any, schema: Any) -> Iterator[np.ndarray]:
    """Yield the index of a sparse tensor: where its rows begin, and the columns."""
    kinds, sparsity = schema.SparseIndexVector, tensor.Sparsity()
    vectors = {
        kinds.Int32Vector: schema.Int32Vector,
        kinds.Uint16Vector: schema.Uint16Vector,
        kinds.Uint8Vector: schema.Uint8Vector,
    }
    for axis in range(sparsity.DimMetadataLength()) if sparsity else ():
        each = sparsity.DimMetadata(axis)
        for kind, table in (
            (each.ArraySegmentsType(), each.ArraySegments()),
            (each.ArrayIndicesType(), each.ArrayIndices()),
        ):
            if kind in vectors:
                vector = vectors[kind]()
                vector.Init(table.Bytes, table.Pos)
                yield vector.ValuesAsNumpy()


def _array(data: bytes, dtype: str, shape: tuple[int, ...] | None) -> Array:
    """Return the array of a part of a file."""
    kind = unsigned(dtype) if dtype in DTYPES else unsigned("uint8")
    if dtype not in DTYPES or len(data) % kind.itemsize:
        dtype, kind, shape = "uint8", unsigned("uint8"), None
    bits = np.frombuffer(data, kind)
    if shape is None or math.prod(shape) != len(bits):  # zeros are left out
        shape = bits.shape
    return Array(dtype, bits.reshape(shape))
