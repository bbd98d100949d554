"""Leaves single zeros out of a .tflite file, row by row.

The converter does this only for float kernels, and from about 97 % zeros on it stores
blocks of 4 instead, most of which hold three zeros. Here, each constant of the file is
stored without its zeros if that makes it smaller: floats, and 8-bit weights that are
converted back to floats. LiteRT restores the zeros when the file is loaded (its
operation DENSIFY), so it is as fast as the dense file, and not faster.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_invprune.exporting import litert

# Bytes that the second tensor, the operation and the names take for each kernel.
OVERHEAD = 300
# Metadata that give operations by their numbers, which a new operation changes.
ORDER = b"model_control_dependencies"


class Rows(NamedTuple):
    """The entries of an array that are not zero, row by row along its last axis.

    Attributes:
        values: The entries, [n].
        segments: Where each row begins in `values`, and the end: [rows + 1].
        indices: The place of each entry in its row, [n].
    """

    values: np.ndarray
    segments: np.ndarray
    indices: np.ndarray

    @classmethod
    def of(cls, array: np.ndarray) -> "Rows":
        """Return the rows of an array of at least two axes."""
        matrix = array.reshape(-1, array.shape[-1])
        row, index = np.nonzero(matrix)
        counts = np.bincount(row, minlength=len(matrix))
        segments = np.concatenate([[0], np.cumsum(counts)])
        return cls(matrix[row, index], _narrow(segments), _narrow(index))

    @property
    def bytes(self) -> int:
        """The bytes of all three arrays."""
        return sum(array.nbytes for array in self)


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """Return numbers >= 0 in the narrowest type that the file format has."""
    most = np.max(numbers, initial=0)
    types = (np.uint8, np.uint16)
    fitting = (each for each in types if most <= np.iinfo(each).max)
    return np.asarray(numbers, next(fitting, np.int32))


def without_zeros(content: bytes) -> bytes | None:
    """Return a .tflite file without the zeros of its kernels.

    Args:
        content: A .tflite file whose tensors are all dense.

    Returns:
        The smaller file, which computes the same; None if no kernel gets smaller.
    """
    schema = litert.schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    if any(each.name == ORDER for each in model.metadata or ()):
        return None
    graph = model.subgraphs[0]
    found = {}
    for number in _kernels(schema, model, graph):
        tensor = graph.tensors[number]
        rows = Rows.of(_array(schema, model, tensor))
        if rows.bytes + OVERHEAD < len(model.buffers[tensor.buffer].data):
            found[number] = rows
    if not found:
        return None
    for number, rows in found.items():
        _leave_out(schema, model, graph, number, rows)
    return litert.serialized(model)


def _kernels(schema: Any, model: Any, graph: Any) -> list[int]:
    """Return the numbers of constant tensors that only operations with kernels read."""
    codes = schema.BuiltinOperator
    reading = {codes.FULLY_CONNECTED, codes.CONV_2D, codes.DEQUANTIZE}
    types = _types(schema)
    readers: dict[int, set[int]] = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        for number in operator.inputs:
            readers.setdefault(int(number), set()).add(code)
    users: dict[int, int] = {}
    for each in model.subgraphs:
        for tensor in each.tensors:
            users[tensor.buffer] = users.get(tensor.buffer, 0) + 1
    return [
        number
        for number, tensor in enumerate(graph.tensors)
        if readers.get(number, {None}) <= reading
        and number not in graph.outputs
        and tensor.type in types
        and tensor.sparsity is None
        and len(tensor.shape) > 1
        and model.buffers[tensor.buffer].data is not None
        and users[tensor.buffer] == 1
    ]


def _types(schema: Any) -> dict[int, type]:
    """Return the types of the format that DENSIFY can restore."""
    kinds = schema.TensorType
    return {
        kinds.FLOAT32: np.float32,
        kinds.FLOAT16: np.float16,
        kinds.INT8: np.int8,
    }


def _array(schema: Any, model: Any, tensor: Any) -> np.ndarray:
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return data.view(_types(schema)[tensor.type]).reshape(tensor.shape)


def _leave_out(schema: Any, model: Any, graph: Any, number: int, rows: Rows) -> None:
    """Store a tensor without its zeros; all that read it get a restored one."""
    sparse = graph.tensors[number]
    model.buffers[sparse.buffer].data = np.frombuffer(rows.values.tobytes(), np.uint8)
    whole = schema.TensorT(
        shape=sparse.shape,
        type=sparse.type,
        buffer=0,
        name=sparse.name + b"_whole",
        quantization=sparse.quantization,
        hasRank=sparse.hasRank,
    )
    sparse.quantization = None  # it belongs to the restored tensor
    sparse.sparsity = _sparsity(schema, sparse.shape, rows)
    graph.tensors.append(whole)
    restored = len(graph.tensors) - 1
    for operator in graph.operators:
        operator.inputs = [restored if i == number else i for i in operator.inputs]
    densify = schema.OperatorT(
        opcodeIndex=_densify(schema, model),
        inputs=[number],
        outputs=[restored],
        builtinOptionsType=schema.BuiltinOptions.DensifyOptions,
        builtinOptions=schema.DensifyOptionsT(),
    )
    graph.operators.insert(0, densify)


def _densify(schema: Any, model: Any) -> int:
    """Return the number of the operation that restores zeros, added if it is new."""
    code = schema.BuiltinOperator.DENSIFY
    codes = [each.builtinCode for each in model.operatorCodes]
    if code not in codes:
        new = schema.OperatorCodeT(
            deprecatedBuiltinCode=code, builtinCode=code, version=1
        )
        model.operatorCodes.append(new)
        codes.append(code)
    return codes.index(code)


def _sparsity(schema: Any, shape: Sequence[int], rows: Rows) -> Any:
    kinds = schema.DimensionType
    metadata = [
        schema.DimensionMetadataT(format=kinds.DENSE, denseSize=int(size))
        for size in shape[:-1]
    ]
    segments, indices = _vector(schema, rows.segments), _vector(schema, rows.indices)
    metadata.append(
        schema.DimensionMetadataT(
            format=kinds.SPARSE_CSR,
            arraySegmentsType=segments[0],
            arraySegments=segments[1],
            arrayIndicesType=indices[0],
            arrayIndices=indices[1],
        )
    )
    return schema.SparsityParametersT(
        traversalOrder=np.arange(len(shape), dtype=np.int32), dimMetadata=metadata
    )


def _vector(schema: Any, numbers: np.ndarray) -> tuple[int, Any]:
    kinds = schema.SparseIndexVector
    kind, vector = {
        "uint8": (kinds.Uint8Vector, schema.Uint8VectorT),
        "uint16": (kinds.Uint16Vector, schema.Uint16VectorT),
        "int32": (kinds.Int32Vector, schema.Int32VectorT),
    }[numbers.dtype.name]
    found = vector()
    found.values = numbers
    return kind, found
