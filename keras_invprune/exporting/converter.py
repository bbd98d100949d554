"""Makes TensorFlow Lite files, and the inputs on which they are run.

Sparse weights need care. The converter stores a kernel in sparse form if about 30 % of
it is zero. Combined with float16 or int8, LiteRT may then return NaN or wrong numbers
without an error. Therefore no file is trusted until it has been run, with and without
LiteRT's default delegate (XNNPACK).
"""

import contextlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Nested
from keras_invprune.exporting import litert
from keras_invprune.exporting.batches import stateful_layers
from keras_invprune.exporting.sparse_rows import without_zeros
from keras_invprune.graph.given_rows import arrays_of
from keras_invprune.graph.inputs import input_structure, symbolic_inputs
from keras_invprune.graph.weights import is_graph

OPTIONS = ("sparsity", "float16", "int8")

# Largest error of the number format itself, as a share of the largest output: float16
# has 11 bits; dynamic-range int8 has 8 bits for weights and activations.
ROUNDING = {"float16": 1e-2, "int8": 1e-1}


def are_names(given: Iterable[str], known: Iterable[str]) -> bool:
    """Return whether `given` is a collection of known names."""
    several = isinstance(given, tuple | list | set | frozenset)
    return several and all(name in known for name in given)


def check_options(options: Iterable[str]) -> None:
    """Raise ValueError unless `options` are known and can be combined."""
    if not are_names(options, OPTIONS):
        raise ValueError(
            f"`tflite_options` must be a tuple of names from {OPTIONS}. "
            f"Received: tflite_options={options!r}."
        )
    if {"float16", "int8"} <= set(options):
        raise ValueError(
            "`tflite_options` must not contain both 'float16' and 'int8'. "
            f"Received: tflite_options={options!r}."
        )


def signature(model: keras.Model, batch_size: int | None = None) -> Nested:
    """Return the inputs of the model's files, with their names in Keras.

    The batch size is the one that the model was made for, or else `batch_size`, or else
    any. If the model got its shape from a call, the size of that batch is ignored.
    Names are those of `keras.Input`. The inputs of a subclassed model are called
    "input", or "input_0" and "input_key" in a list or dict.

    Args:
        model: A Keras 3 model.
        batch_size: Number of rows in a batch, or None.

    Returns:
        A `keras.InputSpec` for each input, in the structure that the model takes.

    Raises:
        ValueError: If the model is not built, if its input shapes are unknown, or if
            it was made for another batch size.
    """
    named = is_graph(model)
    tensors = input_structure(model) if named else _called_with(model)
    sizes = {tensor.shape[0] for tensor in keras.tree.flatten(tensors)} - {None}
    if _sized_by_a_call(model):
        sizes = set()
    if len(sizes | {batch_size} - {None}) > 1:
        raise ValueError(
            f"The inputs of {model.name!r} have batches of {sorted(sizes)} rows, and "
            f"all batches must have the same size. Received: batch_size={batch_size}."
        )
    (size,) = sizes or {batch_size}
    specs = []
    for path, tensor in keras.tree.flatten_with_path(tensors):
        name = tensor.name if named else "_".join(["input", *map(str, path)])
        shape = (size, *tensor.shape[1:])
        specs.append(keras.InputSpec(dtype=tensor.dtype, shape=shape, name=name))
    return keras.tree.pack_sequence_as(tensors, specs)


def _sized_by_a_call(model: keras.Model) -> bool:
    """Return whether the batch size in the input shape may come from a call.

    A Sequential model without `keras.Input` has the shape of the first batch that it
    saw, perhaps 32 rows in `fit`. It then looks as if it had an unnamed `Input`. A size
    of one row is trusted, since files for phones are made for it. States have a fixed
    size in any case.
    """
    if stateful_layers(model):
        return False
    if not (is_graph(model) and isinstance(model, keras.Sequential)):
        return not is_graph(model)
    unnamed = re.fullmatch(r"(keras_tensor|input_layer)(_\d+)?", model.inputs[0].name)
    return model.inputs[0].shape[0] != 1 and unnamed is not None


def batch_of(structure: Nested) -> int | None:
    """Return the number of rows that a batch must have; None for any number."""
    return keras.tree.flatten(structure)[0].shape[0]


def _called_with(model: keras.Model) -> Nested:
    found = symbolic_inputs(model, model.input_dtype) if model.built else ()
    if not keras.tree.flatten(found):
        raise ValueError(
            f"The model {model.name!r} has no input shape yet. Call it once, "
            "`model(x)`, or start it with `keras.Input(shape)`."
        )
    return found


def inputs(
    structure: Nested, x: Nested = None, rows: int = 40
) -> dict[str, np.ndarray]:
    """Return the arrays of `x` by name, or random ones if `x` is None.

    Args:
        structure: The structure that `signature` returned.
        x: An array, or a list or dict of arrays: in the structure that the model takes,
            or by the names of its inputs. None: normally distributed numbers, or 0 and
            1 for integers and booleans, with a fixed seed.
        rows: Number of random rows.

    Returns:
        An array of the right dtype for each input, by name.

    Raises:
        ValueError: If arrays are missing, empty, of different lengths or of another
            shape, or not finite, or if there are no random inputs of this shape or
            dtype.
    """
    specs = keras.tree.flatten(structure)
    if x is None:
        generator = np.random.default_rng(0)
        arrays = [_random(spec, rows, generator) for spec in specs]
    else:
        arrays = arrays_of(structure, x)
        for spec, array in zip(specs, arrays, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(
                    "`data` must be finite. Received: NaN or infinity in "
                    f"{spec.name!r}."
                )
    return {
        spec.name: array.astype(tf.as_dtype(spec.dtype).as_numpy_dtype)
        for spec, array in zip(specs, arrays, strict=True)
    }


def _random(
    spec: keras.InputSpec, rows: int, generator: np.random.Generator
) -> np.ndarray:
    if None in spec.shape[1:] or spec.dtype == "string":
        raise ValueError(
            "Random inputs need a known shape and a numeric dtype. Received: shape "
            f"{spec.shape} and dtype {spec.dtype} of {spec.name!r}. Pass real inputs: "
            "`data=x`."
        )
    normal = generator.normal(size=(rows, *spec.shape[1:]))
    return normal if tf.as_dtype(spec.dtype).is_floating else normal > 0


def convert(
    saved_model: Path, options: Iterable[str] = ("sparsity",)
) -> tuple[bytes, dict]:
    """Convert a SavedModel and keep the smaller of the sparse and the dense file.

    Where the converter's blocks do not fit a kernel, single zeros are left out instead.

    Args:
        saved_model: Folder of a SavedModel.
        options: Any of ``"sparsity"`` (zeros are not stored), ``"float16"`` (half the
            bits per weight) and ``"int8"`` (dynamic-range quantization).

    Returns:
        The content of the file, and ``{"sparse": bool, "dense_bytes": int}``: whether
        zeros were left out, and the size of the dense file in bytes.
    """
    formats = set(options) - {"sparsity"}
    with stderr_to_log():
        content = dense = converted(saved_model, formats)
        if "sparsity" in options:
            sparse = converted(saved_model, formats | {"sparsity"})
            if litert.lacks_entries(sparse):
                sparse = (None if formats else without_zeros(dense)) or dense
            content = min(dense, sparse, key=len)
    return content, {"sparse": content is not dense, "dense_bytes": len(dense)}


@contextlib.contextmanager
def stderr_to_log() -> Iterator[None]:
    """Send stderr, also that of C++, to a log, which only an error keeps and names.

    An interruption that Python drops is raised at the end.
    """
    number, log = tempfile.mkstemp(prefix="keras_invprune_", suffix=".log")
    sys.stderr.flush()
    terminal = os.dup(2)  # C++ does not use sys.stderr
    os.dup2(number, 2)
    os.close(number)
    try:
        with _heard():
            yield
    except Exception as error:
        with open(log, "a") as file:
            file.write(f"\n{error}\n")
        error.add_note(f"The full log is in {log}.")
        raise
    except BaseException:  # an interruption
        os.remove(log)
        raise
    else:
        os.remove(log)
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Raise an interruption that Python drops since it comes in a destructor.

    TensorFlow's converter collects garbage, and so spends much of its time in these.
    """
    before, dropped = sys.unraisablehook, []

    def note(unraisable: Any) -> None:
        found = unraisable.exc_value
        if isinstance(found, Exception | None):
            before(unraisable)
        else:
            dropped.append(type(found)(*found.args))  # without what is destroyed

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = before
        if dropped:
            raise dropped[0]


def converted(
    saved_model: Path,
    options: Iterable[str],
    examples: Sequence[dict[str, np.ndarray]] | None = None,
) -> bytes:
    """Return the .tflite file that the converter makes of a SavedModel.

    Args:
        saved_model: Folder of a SavedModel.
        options: As in `convert`. With ``"sparsity"``, zeros are left out even if that
            makes the file larger.
        examples: Batches of arrays by input name. With ``"int8"``, activations are
            then quantized as well, in the ranges that they have on these batches.
    """
    # `from_keras_model` would export to its own folder, and print the path.
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    options, optimizations = set(options), []
    if "sparsity" in options:
        optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
    if options & {"float16", "int8"}:
        optimizations.append(tf.lite.Optimize.DEFAULT)
    if "float16" in options:
        converter.target_spec.supported_types = [tf.float16]
    if examples is not None:
        converter.representative_dataset = lambda: iter(examples)
    converter.optimizations = optimizations
    with warnings.catch_warnings():
        # It calibrates with an Interpreter that TensorFlow has given to LiteRT.
        warnings.filterwarnings("ignore", "(?s).*LiteRT interpreter", UserWarning)
        return converter.convert()
