"""Files of OpenVINO, made from the SavedModel or from a .tflite file.

They are made with OpenVINO's own readers: Keras 3.8 cannot write them, and
`openvino.convert_model` sends usage data.

OpenVINO can use zeros of 8-bit kernels wherever they are: it packs them, so that less
is read from memory. That needs a processor with AMX, 8-bit activations, and kernels
whose sides are multiples of 64. The file itself holds all zeros.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.batches import Run
from keras_invprune.exporting.planner.candidates._base import (
    STATIC,
    Candidate,
    NotTried,
    Source,
    needing,
)
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.verify import SameOutputs

PROCESSOR = Path("/proc/cpuinfo")
AMX = "amx_int8"  # Linux's name for it
PACKED = 0.5  # share of zeros from which on a kernel is packed
SAME = "OpenVINO cannot read what it writes if two outputs are one tensor"
XML = "model.xml"  # the network; its weights are next to it


@functools.cache
def _core() -> Any:
    """Return what loads files.

    Raises:
        NotTried: If OpenVINO is missing.
    """
    with needing("openvino", "openvino"):
        import openvino
    return openvino.Core()


def _read(path: Path) -> Any:
    """Return the network in a SavedModel or a .tflite file.

    Raises:
        NotTried: If two outputs are one tensor.
    """
    model = _core().read_model(str(path))
    tensors = [frozenset(port.get_names()) for port in model.outputs]
    if len(set(tensors)) < len(tensors):
        raise NotTried(SAME)
    return model


def _float(source: Source, *, half: bool) -> Path:
    _core()
    source.check_stateless()
    model = _read(source.saved_model)
    return _written(source, model, "float16" if half else "float32", half=half)


def _static(source: Source) -> Path:
    """Return the file with 8-bit weights and activations, made once.

    It is made of the converter's .tflite file, since OpenVINO cannot read those of
    litert-quantizer.

    Raises:
        NotTried: If OpenVINO is missing, or rows to calibrate with.
    """
    return source.once("openvino int8", functools.partial(_made_static, source))


def _made_static(source: Source) -> Path:
    _core()
    source.check_stateless()
    content = source.tflite("int8", calibrated=True)
    path = source.folder / "static.tflite"
    path.write_bytes(content)
    model = _read(path)
    for ports, names in zip(
        (model.inputs, model.outputs), litert.tensor_names(content), strict=True
    ):
        for port in ports:
            port.get_tensor().set_names({_only(names, port.get_names())})
    return _written(source, model, "int8", half=False)


def _only(names: Mapping[str, str], tensors: set[str]) -> str:
    """Return the name of the input or output whose tensor is among `tensors`.

    Raises:
        NotTried: If two outputs are.
    """
    found = [name for name, tensor in names.items() if tensor in tensors]
    if len(found) > 1:
        raise NotTried(SAME)
    return found[0]


def _sparse(source: Source) -> Path:
    """Return the file with 8-bit weights and activations, if zeros would be used.

    Raises:
        NotTried: If they would not, or for the reasons of `_static`.
    """
    _core()
    if AMX not in _flags():
        raise NotTried("unmeasured: OpenVINO uses zeros only on processors with AMX")
    return _static(source)


def _flags() -> list[str]:
    """Return what the processor can do, by Linux's names; nothing elsewhere."""
    return PROCESSOR.read_text().split() if PROCESSOR.is_file() else []


def _written(source: Source, model: Any, name: str, *, half: bool) -> Path:
    """Return the folder with a model, whose outputs have the order of Keras's."""
    import openvino

    by_name = {port.get_any_name(): port.get_node() for port in model.outputs}
    ordered = openvino.Model(
        [by_name[name] for name in source.same.outputs],
        model.get_sinks(),
        model.get_parameters(),
        source.model.name,
    )
    folder = source.folder / "openvino" / name
    folder.mkdir(parents=True)
    openvino.save_model(ordered, folder / XML, compress_to_fp16=half)
    return folder


def _load(
    folder: Path, same: SameOutputs, states: bool, *, threads: int, **options: Any
) -> Run:
    del states  # there are none
    core = _core()
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Where the processor has bfloat16, OpenVINO would compute with its 8 bits.
        "INFERENCE_PRECISION_HINT": "f32",
        # Pinned to a core, it waits for whatever else runs there.
        "ENABLE_CPU_PINNING": False,
        **options,
    }
    compiled = core.compile_model(folder / XML, "CPU", settings)
    names = [port.get_any_name() for port in compiled.outputs]
    request = compiled.create_infer_request()

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {  # they are read until the request ends
            same.names[name]: openvino.Tensor(
                np.ascontiguousarray(array), shared_memory=True
            )
            for name, array in inputs.items()
        }
        for name, tensor in tensors.items():
            request.set_tensor(name, tensor)
        request.infer()
        return {name: request.get_tensor(name).data.copy() for name in names}

    return run


def _runtimes(name: str, **options: Any) -> tuple[Runtime, ...]:
    return tuple(
        Runtime(
            f"{name}, {threads} thread{'s' if threads > 1 else ''}",
            functools.partial(_load, threads=threads, **options),
        )
        for threads in (1, 2)
    )


_kind = functools.partial(
    Candidate,
    file="openvino",
    runtimes=_runtimes("OpenVINO with precision f32"),
    targets=("openvino-cpu", "any"),
    libraries=("openvino",),
)
CANDIDATES = [
    _kind("OpenVINO, float32", functools.partial(_float, half=False)),
    _kind(
        "OpenVINO, float16",
        functools.partial(_float, half=True),
        rounding=converter.ROUNDING["float16"],
    ),
    _kind("OpenVINO, int8 static", _static, rounding=STATIC),
    _kind(
        "OpenVINO, int8 static, sparse",
        _sparse,
        rounding=STATIC,
        uses_zeros=True,
        runtimes=_runtimes(
            f"OpenVINO with sparse weights from {PACKED:.0%} zeros",
            CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE=PACKED,
        ),
    ),
]
