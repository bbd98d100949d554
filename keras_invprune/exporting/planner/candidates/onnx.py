"""ONNX files, made by Keras and tf2onnx, and run by ONNX Runtime.

ONNX can leave zeros out of a file, and ONNX Runtime fills them in when it loads it. So
zeros make such a file smaller, and never faster.
"""

import functools
import importlib
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.exporting import converter
from keras_invprune.exporting.batches import Run
from keras_invprune.exporting.planner.candidates._base import (
    Candidate,
    NotTried,
    Source,
    needing,
)
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.precision import in_float32
from keras_invprune.exporting.serving import named_outputs
from keras_invprune.exporting.verify import SameOutputs

EXTRA = "onnx"
PLACE = 8  # bytes of the place of a value that is not zero
ERRORS = 3  # the level of ONNX Runtime's log that leaves out warnings


class _Evaluated(keras.Model):
    """A model in evaluation mode, whose outputs have their names in the files.

    Keras's own export leaves the mode to each layer, and layers that augment images are
    in training mode by default.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name=model.name)
        self._model = model
        self.built = True

    def call(self, inputs: Nested) -> dict[str, Tensor]:
        """Return the outputs by name."""
        return named_outputs(self._model(inputs, training=False))


def dense(source: Source) -> bytes:
    """Return the ONNX file of a source with all zeros, made once.

    Raises:
        NotTried: If a library is missing, or if the model has states.
    """
    return source.once("onnx", functools.partial(_dense, source))


def _dense(source: Source) -> bytes:
    with needing("onnx and tf2onnx", EXTRA):
        import onnx

        importlib.import_module("tf2onnx")  # Keras uses it
    source.check_stateless()
    path = source.folder / "dense.onnx"
    with warnings.catch_warnings(), in_float32(source.model):
        # Keras asks whether NumPy has `object`, and NumPy 2.4 warns of the question.
        warnings.filterwarnings("ignore", ".*np.object", FutureWarning)
        _Evaluated(source.model).export(
            str(path),
            format="onnx",
            verbose=False,
            input_signature=[source.same.named()],
        )
    model = onnx.load(path)
    # tf2onnx orders them by name, with "output_10" before "output_2".
    outputs = {each.name: each for each in model.graph.output}
    ordered = [outputs[name] for name in source.same.outputs]
    del model.graph.output[:]
    model.graph.output.extend(ordered)
    return model.SerializeToString()


def _sparse(source: Source) -> bytes:
    """Return the file of a source without the zeros of its kernels.

    Raises:
        NotTried: If a library is missing, or if no kernel gets smaller.
    """
    content = dense(source)
    import onnx

    model = onnx.ModelProto.FromString(content)
    graph, tensors = model.graph, list(model.graph.initializer)
    found = {each.name: _without_zeros(each) for each in tensors}
    if not any(found.values()):
        raise NotTried("no kernel gets smaller without its zeros")
    del graph.initializer[:]
    graph.initializer.extend(each for each in tensors if not found[each.name])
    graph.sparse_initializer.extend(each for each in found.values() if each)
    return model.SerializeToString()


def _without_zeros(tensor: Any) -> Any:
    """Return a tensor as its values and their places; None if that is not smaller."""
    from onnx import helper, numpy_helper

    array = numpy_helper.to_array(tensor)
    values = array.reshape(-1)
    (places,) = np.nonzero(values)
    smaller = places.size * (array.itemsize + PLACE) < array.nbytes
    if array.dtype != np.float32 or array.ndim < 2 or not places.size or not smaller:
        return None
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values[places], tensor.name),
        numpy_helper.from_array(places.astype(np.int64), f"{tensor.name}_places"),
        list(array.shape),
    )


def _quantized(source: Source) -> bytes:
    """Return the file of a source with 8-bit weights, quantized by ONNX Runtime.

    Raises:
        NotTried: If a library is missing.
    """
    content = dense(source)
    with needing("onnxruntime", EXTRA):
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    names = ("float.onnx", "prepared.onnx", "int8.onnx")
    given, prepared, goal = (source.folder / name for name in names)
    given.write_bytes(content)
    quant_pre_process(given, prepared, skip_symbolic_shape=True)
    # It has no kernels for convolutions with signed weights.
    unsigned = quantization.QuantType.QUInt8
    quantization.quantize_dynamic(prepared, goal, weight_type=unsigned)
    return goal.read_bytes()


def _load(file: Path, same: SameOutputs, states: bool, *, threads: int) -> Run:
    del states  # there are none
    with needing("onnxruntime", EXTRA):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = ERRORS
    session = onnxruntime.InferenceSession(
        str(file), options, providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = session.run(
            names, {same.names[k]: array for k, array in inputs.items()}
        )
        return dict(zip(names, found, strict=True))

    return run


_kind = functools.partial(
    Candidate,
    file="model.onnx",
    runtimes=(
        Runtime("ONNX Runtime, 1 thread", functools.partial(_load, threads=1)),
        Runtime("ONNX Runtime, 2 threads", functools.partial(_load, threads=2)),
    ),
    targets=("onnxruntime-cpu", "any"),
    libraries=("onnx", "tf2onnx", "onnxruntime"),
)
CANDIDATES = [
    _kind("ONNX", dense),
    _kind("ONNX, sparse", _sparse, uses_zeros=True),
    _kind("ONNX, int8 dynamic", _quantized, rounding=converter.ROUNDING["int8"]),
]
