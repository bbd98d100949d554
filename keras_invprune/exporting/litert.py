"""Reads .tflite files and runs them with LiteRT: the only file that imports it.

It imports neither TensorFlow nor this package, since it is also a program: `sandbox.py`
starts it, so that a file that crashes does no further harm.
"""

import functools
import math
import os
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def schema() -> Any:
    """Return the module with the classes of the file format."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def serialized(model: Any) -> bytes:
    """Return the content of the file of a `ModelT` of `schema`."""
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

    return bytes(convert_object_to_bytearray(model))


def has_loops(content: bytes) -> bool:
    """Return whether a .tflite file has loops or branches."""
    return schema().Model.GetRootAs(content).SubgraphsLength() > 1


def is_sparse(content: bytes) -> bool:
    """Return whether a .tflite file leaves out zeros of any tensor."""
    model = schema().Model.GetRootAs(content)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    tensors = (g.Tensors(i) for g in graphs for i in range(g.TensorsLength()))
    return any(tensor.Sparsity() is not None for tensor in tensors)


def lacks_entries(content: bytes) -> bool:
    """Return whether a .tflite file has blocks that do not fill an axis of a tensor.

    TensorFlow's converter stores blocks of 4 along the inputs also where the number of
    inputs is not a multiple of 4. The last inputs are then missing.
    """
    model = schema().ModelT.InitFromObj(schema().Model.GetRootAs(content))
    for graph in model.subgraphs:
        for tensor in (each for each in graph.tensors if each.sparsity is not None):
            axes = tensor.sparsity.blockMap
            blocks = tensor.sparsity.dimMetadata[len(tensor.shape) :]
            for axis, block in zip([] if axes is None else axes, blocks, strict=True):
                if tensor.shape[axis] % block.denseSize:
                    return True
    return False


def tensor_names(content: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Return ``{name of an input: name of its tensor}`` of a file, and of outputs."""
    model = schema().ModelT.InitFromObj(schema().Model.GetRootAs(content))
    (entry,), tensors = model.signatureDefs, model.subgraphs[0].tensors

    def names(maps: Iterable[Any]) -> dict[str, str]:
        return {m.name.decode(): tensors[m.tensorIndex].name.decode() for m in maps}

    return names(entry.inputs), names(entry.outputs)


class Runtime:
    """A callable that runs a file: arrays by input name in, arrays by output name out.

    Args:
        signature: LiteRT's runner of the file.

    Attributes:
        batch: Number of rows that the file takes; None for any.
    """

    def __init__(self, signature: Any):
        self._signature = signature
        details = signature.get_input_details().values()
        sizes = [int(size) for i in details for size in i["shape_signature"][:1]]
        self.batch = next((size for size in sizes if size > 0), None)

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run the file."""
        return self._signature(**inputs)


def runtime(content: bytes, *, delegate: bool, threads: int = 1) -> Runtime:
    """Return a runtime of LiteRT for one file.

    Args:
        content: The content of the file.
        delegate: Whether LiteRT may use its default delegate, as apps do.
        threads: Number of threads.
    """
    found = runtimes(content, delegate=delegate, threads=threads)
    return found["serving_default"]


def runtimes(content: bytes, *, delegate: bool, threads: int = 1) -> dict[str, Runtime]:
    """Return the runtimes of all endpoints of one file by name; see `runtime`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    ops = OpResolverType
    interpreter = Interpreter(
        model_content=content,
        num_threads=threads,
        experimental_op_resolver_type=(
            ops.AUTO if delegate else ops.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    names = interpreter.get_signature_list()
    return {name: Runtime(interpreter.get_signature_runner(name)) for name in names}


class Compiled:
    """A callable that runs a file with LiteRT's CompiledModel, on one thread.

    It takes arrays by input name, and returns arrays by output name.

    Args:
        content: The content of the file. A file that takes batches of any size takes
            one row here, since CompiledModel resizes only some of them.
    """

    def __init__(self, content: bytes):
        from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options

        self._content = content  # the model may read it at any time
        self._model = CompiledModel.from_buffer(
            content,
            environment=_environment(),
            options=Options(cpu_options=CpuOptions(num_threads=1)),
        )
        ((key, names),) = self._model.get_signature_list().items()
        self._inputs = {
            name: self._model.create_input_buffer_by_name(key, name)
            for name in names["inputs"]
        }
        self._outputs = {
            name: self._model.create_output_buffer_by_name(key, name)
            for name in names["outputs"]
        }
        self._details = self._model.get_output_tensor_details(key)
        self._key = key
        # Of two outputs that are the same tensor, it knows one.
        tensors = tensor_names(content)[1]
        known = {tensors[name]: name for name in self._outputs}
        self._names = {name: known[tensor] for name, tensor in tensors.items()}

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file."""
        for name, buffer in self._inputs.items():
            buffer.write(inputs[name])
        self._model.run_by_name(self._key, self._inputs, self._outputs)
        return {name: self._read(known) for name, known in self._names.items()}

    def _read(self, name: str) -> np.ndarray:
        shape, dtype = self._details[name]["shape"], self._details[name]["dtype"]
        found = self._outputs[name].read(math.prod(shape), np.dtype(dtype))
        return found.reshape(shape)


@functools.cache
def _environment() -> Any:
    """Return what all compiled models of the process share."""
    from ai_edge_litert.environment import Environment

    return Environment.create()


def load(file: Path, delegate: bool | None, threads: int = 1) -> Runtime | Compiled:
    """Return a callable that runs a file.

    Args:
        file: The file.
        delegate: Whether the Interpreter may use its default delegate; None for
            CompiledModel.
        threads: Number of threads of the Interpreter.
    """
    content = file.read_bytes()
    if delegate is None:
        return Compiled(content)
    return runtime(content, delegate=delegate, threads=threads)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Load files and run them, as pickled requests ask, until these end.

    A request is a tuple, the arguments of `load`, or a dict of arrays, the inputs of
    the file that was loaded last. An empty tuple only unloads that file. A reply is
    ``(outputs, "")``, or ``(None, what went wrong)``.
    """
    run: Any = None
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        found, fault = None, ""
        try:
            if isinstance(request, dict):
                found = run(request)
            else:
                run = None  # before the next one is loaded, which may be large
                run = load(*request) if request else None
        except Exception as error:  # LiteRT may raise anything
            fault = str(error) or type(error).__name__
        pickle.dump((found, fault), replies)
        replies.flush()


def main() -> None:
    """Serve on the standard streams; what LiteRT prints goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
