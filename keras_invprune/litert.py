"""TensorFlow Lite files: named inputs, conversion, and LiteRT to run them.

Sparse weights need care. The converter stores a kernel sparsely from about 30 %
zeros; next to float16 or int8, LiteRT may then return NaN or plainly wrong numbers
without an error. No file is trusted before it has been run, with and without LiteRT's
default delegate (XNNPACK).
"""

import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

OPTIONS = ("sparsity", "float16", "int8")

# What the number format alone may cost, relative to max(1, max |output|): float16
# keeps 11 bits, and dynamic-range int8 keeps 8 of the weights and of the activations.
ROUNDING = {"float16": 1e-2, "int8": 1e-1}


def check_options(options):
    """Raises unless `options` names options that go together."""
    if isinstance(options, str) or not set(options) <= set(OPTIONS):
        raise ValueError(
            f"`tflite_options` must be a tuple of names out of {OPTIONS}. "
            f"Received: tflite_options={options!r}."
        )
    if {"float16", "int8"} <= set(options):
        raise ValueError(
            "`tflite_options` may name one number format. Received: 'float16' and "
            "'int8'. Keep one of them."
        )


def signature(model):
    """The inputs that the model's files take, with the names they are known by.

    A batch may have any size. Names are those of `keras.Input`; a subclassed model's
    inputs are called "input", or "input_0" and "input_key" in a list or dict.

    Args:
        model: A built Keras 3 model.

    Returns:
        A `keras.InputSpec` for each input, in the structure that the model takes.

    Raises:
        ValueError: The shapes are not known.
    """
    if isinstance(model, keras.Sequential) and model.built:
        tensors = model.inputs[0]
    elif getattr(model, "inputs", None):
        tensors = model.input
    else:
        tensors = _called_with(model)
    specs = [
        keras.InputSpec(
            dtype=tensor.dtype,
            shape=(None, *tensor.shape[1:]),
            name=re.sub(r"\W", "_", tensor.name),
        )
        for tensor in keras.tree.flatten(tensors)
    ]
    return keras.tree.pack_sequence_as(tensors, specs)


def _called_with(model):
    shapes = (model.get_build_config() or {}).get("input_shape")
    if not model.built or shapes is None:
        raise ValueError(
            f"The model {model.name!r} has no input shape yet. Call it once, "
            "`model(x)`, or begin it with `keras.Input(shape)`."
        )
    tensors = keras.tree.map_shape_structure(
        lambda shape: keras.KerasTensor(shape, model.input_dtype), shapes
    )
    named = [
        keras.KerasTensor(t.shape, t.dtype, name="_".join(map(str, ("input", *path))))
        for path, t in keras.tree.flatten_with_path(tensors)
    ]
    return keras.tree.pack_sequence_as(tensors, named)


def convert(saved_model: Path, options=("sparsity",)) -> tuple[bytes, dict]:
    """Converts a SavedModel; of the sparse and the dense file the smaller is kept.

    Args:
        saved_model: Folder of a SavedModel.
        options: Any of ``"sparsity"`` (zeros are not stored), ``"float16"`` (half
            the bits per weight) and ``"int8"`` (dynamic-range quantisation).

    Returns:
        The file's content, and ``{"sparse": bool, "dense_bytes": int}``: whether
        zeros were left out, and the size of the same file with them.
    """
    formats = set(options) - {"sparsity"}
    content = dense = _convert(saved_model, formats)
    if "sparsity" in options:
        content = min(dense, _convert(saved_model, formats | {"sparsity"}), key=len)
    return content, {"sparse": content is not dense, "dense_bytes": len(dense)}


def _convert(saved_model, options) -> bytes:
    # `from_keras_model` would export to a folder of its own, and print its path.
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    optimizations = []
    if "sparsity" in options:
        optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
    if options & {"float16", "int8"}:
        optimizations.append(tf.lite.Optimize.DEFAULT)
    if "float16" in options:
        converter.target_spec.supported_types = [tf.float16]
    converter.optimizations = optimizations
    return converter.convert()


def runtime(content: bytes, *, delegate: bool):
    """LiteRT for one file, on one thread.

    Args:
        content: The file's content.
        delegate: Whether LiteRT may use its default delegate, as apps do.

    Returns:
        A callable: arrays by the signature's names in, arrays by name out; batches of
        any size.

    Raises:
        ImportError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise ImportError(
            "Running a .tflite file needs LiteRT: `pip install ai-edge-litert`, or "
            'export without it: formats=("keras", "saved_model").'
        ) from error
    ops = OpResolverType
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=(
            ops.AUTO if delegate else ops.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    run = interpreter.get_signature_runner("serving_default")
    return lambda inputs: run(**inputs)
