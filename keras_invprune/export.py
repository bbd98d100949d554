"""Writes a model's files, and lets none leave that has not been run.

Each file is loaded again, run on the same rows as the Keras model, and compared.
All files appear together at the end, or none does.
"""

import contextlib
import errno
import functools
import gzip
import os
import re
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_invprune import litert
from keras_invprune.consistency import accuracy
from keras_invprune.folders import replacing, write_report
from keras_invprune.inventory import inventory
from keras_invprune.weights import walk

SCHEMA = "keras_invprune/export/1"
FORMATS = ("keras", "saved_model", "tflite")
LIBRARIES = ("keras", "tensorflow", "numpy", "ai-edge-litert")
COMPARED_ROWS, BATCH = 256, 32
OTHER_FLOATS = ("float16", "bfloat16", "float64")
WAYS_OUT = {
    "model.keras": "`keras.saving.register_keras_serializable` on custom classes and "
    'functions, or `formats=("saved_model", "tflite")`',
    "saved_model": 'TensorFlow operations only, or `formats=("keras",)`',
    "model.tflite": '`tflite_options=("sparsity",)` or `()`, recurrent layers with '
    '`unroll=True`, float32 layers, or `formats=("keras", "saved_model")`',
}


class ExportError(RuntimeError):
    """A file cannot be made, or does not compute what the Keras model computes."""


def export(
    model,
    folder,
    *,
    data=None,
    formats=FORMATS,
    tflite_options=("sparsity",),
    tolerance=1e-4,
) -> dict:
    """Writes the files of a model into a folder, each verified by running it.

    A file is refused if an output differs from Keras's by more than
    ``tolerance * max(1, max |Keras's output|)``; the rounding of "float16" may cost
    1e-2 and that of "int8" 1e-1 where the tolerance is smaller. LiteRT runs the .tflite
    file with and without its default delegate, and both must agree with Keras.

    Args:
        model: A built Keras 3 model; a pruned one after `strip_pruning`.
        folder: Where to. An earlier export is replaced once the new one is complete;
            a folder that holds anything else is refused.
        data: ``x`` or ``(x, y)``: arrays, or a list or dict of them, to compare on (256
            rows), and labels for the accuracy (on all rows). None: random inputs, 0 and
            1 where they are integers.
        formats: Any of ``"keras"`` (model.keras), ``"saved_model"`` (saved_model/) and
            ``"tflite"`` (model.tflite).
        tflite_options: Any of ``"sparsity"`` (zeros are not stored, where that makes
            the file smaller), and ``"float16"`` or ``"int8"`` (dynamic range).
        tolerance: Largest difference from Keras's outputs.

    Returns:
        The report, also written to ``report.json``: bytes, differences, zeros of each
        kernel and what is left alone (`keras_invprune.inventory`), accuracy (None
        without class labels), versions and checksums.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> x, y = np.random.rand(32, 4).astype("float32"), np.arange(32) % 2
        >>> found = export(model, "exported", data=(x, y), formats=("keras", "tflite"))
        >>> sorted(os.listdir("exported"))
        ['model.keras', 'model.tflite', 'report.json']
        >>> found["files"]["model.tflite"]["max_abs_error"] < 1e-4
        True

    Raises:
        ExportError: A file cannot be made or run, or differs. Nothing is written.
        FileExistsError: The folder holds something else than an earlier export.
        OSError: The disk is full, or the folder cannot be written.
        TypeError: `model` is no Keras 3 model.
        ValueError: The model is not built, or an argument does not fit.
    """
    _check(model, data, formats, tflite_options, tolerance)
    x, y = data if isinstance(data, tuple) else (data, None)
    same = _SameOutputs(model, x, y)
    with replacing(folder) as new:
        files = _write(model, new, formats, tflite_options, same, tolerance)
        report = {
            "inputs": "random" if x is None else "given",
            "weights": inventory(model),
            "accuracy": same.accuracy,
            "files": {name: _sizes(new / name) | files[name] for name in files},
            "versions": {name: version(name) for name in LIBRARIES},
        }
        return write_report(new, SCHEMA, report)


def _check(model, data, formats, tflite_options, tolerance):
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a Keras 3 model, built with `import keras`. Received: "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    if getattr(model, "is_pruning_wrapper", False):
        raise ValueError(
            "`model` still carries its pruning masks. Export the plain model: "
            "`kip.export(kip.strip_pruning(model), folder)`."
        )
    if isinstance(data, tuple) and len(data) != 2:
        raise ValueError(
            "`data` must be x or (x, y), x a list or dict where the model has several "
            f"inputs. Received: a tuple of {len(data)}."
        )
    if isinstance(formats, str) or not formats or not set(formats) <= set(FORMATS):
        raise ValueError(
            f"`formats` must name some of {FORMATS}. Received: formats={formats!r}."
        )
    litert.check_options(tflite_options)
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"`tolerance` must be >= 0 and finite. Received: {tolerance}.")


class _SameOutputs:
    """Compares a file's outputs with those of the Keras model, on the same rows."""

    def __init__(self, model, x, y):
        self.structure = litert.signature(model)
        inputs = litert.inputs(self.structure, x)
        rows = len(next(iter(inputs.values())))
        if y is not None and len(y) != rows:
            raise ValueError(f"`data` has {rows} rows of x, but {len(y)} labels y.")
        self.inputs = {name: array[:COMPARED_ROWS] for name, array in inputs.items()}
        run = self.by_name(functools.partial(model, training=False))
        outputs = _in_batches(run, self.inputs if y is None else inputs)
        self.outputs = {k: v[:COMPARED_ROWS].astype(float) for k, v in outputs.items()}
        if not all(np.isfinite(array).all() for array in self.outputs.values()):
            raise ValueError("The Keras model gives NaN or infinity on these inputs.")
        (output, *more) = outputs.values()
        self.accuracy = None if y is None or more else accuracy(output, y)

    def by_name(self, call):
        """Makes arrays by name of what `call` takes and returns in a structure."""

        def run(inputs):
            arrays = list(inputs.values())
            outputs = call(keras.tree.pack_sequence_as(self.structure, arrays))
            parts = keras.tree.flatten(outputs)
            if not isinstance(outputs, dict) or len(parts) > len(outputs):
                # The names that Keras gives them in the files.
                outputs = {f"output_{i}": part for i, part in enumerate(parts)}
            return {k: keras.ops.convert_to_numpy(v) for k, v in outputs.items()}

        return run

    def __call__(self, run, tolerance) -> float:
        """Max |difference|; raises unless all are within the tolerance."""
        found = _in_batches(run, self.inputs)
        worst = 0.0
        for name, expected in self.outputs.items():
            error = float(np.abs(found[name].astype(float) - expected).max())
            limit = tolerance * max(1.0, np.abs(expected).max())
            if not error <= limit:  # NaN is within no limit.
                reason = f"output {name!r} is off by {error:.3g}, allowed {limit:.3g}"
                raise ValueError(reason)
            worst = max(worst, error)
        return worst


def _in_batches(run, inputs) -> dict[str, np.ndarray]:
    starts = range(0, len(next(iter(inputs.values()))), BATCH)
    # On the CPU, as LiteRT: a GPU may round float32 factors to 11 bits (TF32).
    with tf.device("/CPU:0"):
        parts = [run({k: v[i : i + BATCH] for k, v in inputs.items()}) for i in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write(model, new, formats, options, same, tolerance) -> dict[str, dict]:
    """Writes and runs the files; what was found of each, by name."""
    found = {}
    if "keras" in formats:
        with _refusing("model.keras", "Keras"):
            model.save(new / "model.keras")
            loaded = keras.saving.load_model(new / "model.keras", compile=False)
            run = same.by_name(functools.partial(loaded, training=False))
            found["model.keras"] = {"max_abs_error": same(run, tolerance)}
    if {"saved_model", "tflite"} & set(formats):
        # Where it is not asked for, it is only what the .tflite file is made from.
        path = (new if "saved_model" in formats else new.parent) / "saved_model"
        with _refusing("saved_model", "TensorFlow"):
            model.export(path, verbose=False, input_signature=[same.structure])
            loaded = tf.saved_model.load(str(path))
            error = same(same.by_name(loaded.serve), tolerance)
        if "saved_model" in formats:
            found["saved_model"] = {"max_abs_error": error}
    if "tflite" in formats:
        found["model.tflite"] = _write_tflite(
            model, new, path, options, same, tolerance
        )
    return found


def _write_tflite(model, new, saved_model, options, same, tolerance) -> dict:
    tolerance = max(tolerance, *(litert.ROUNDING.get(o, 0.0) for o in options), 0.0)
    with _refusing("model.tflite", "TensorFlow's converter", _float32_twin(model)):
        content, found = litert.convert(saved_model, options)
    (new / "model.tflite").write_bytes(content)
    for name, delegate in (("default", True), ("no", False)):
        with _refusing("model.tflite", f"LiteRT with {name} delegate"):
            key = "max_abs_error" + ("" if delegate else "_without_delegate")
            found[key] = same(litert.runtime(content, delegate=delegate), tolerance)
    return found


@contextlib.contextmanager
def _refusing(file, runtime, way_out=""):
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        if "No space left on device" in str(error):  # as TensorFlow says it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        missing = re.search(r"'tf\.\w+' op [^\n]*", str(error))
        reason = missing[0] if missing else str(error).strip()[:500]
        raise ExportError(
            f"{file} is refused, and nothing was written. {runtime}: "
            f"{reason.rstrip('.')}. {way_out}What may help: {WAYS_OUT[file]}."
        ) from error


def _float32_twin(model) -> str:
    """The way out where layers compute in another float than LiteRT; else ""."""
    policies = {
        layer.dtype_policy.name
        for _, layer in walk(model)
        if layer.compute_dtype in OTHER_FLOATS and not isinstance(layer, keras.Model)
    }
    if not policies:
        return ""
    return (
        f"Layers of the dtype policy {' and '.join(map(repr, sorted(policies)))} are "
        "not for LiteRT. Build a twin of dtype float32 (after "
        "keras.config.set_dtype_policy('float32'), layers without another dtype of "
        "their own), twin.set_weights(model.get_weights()), and export the twin. "
    )


def _sizes(path) -> dict:
    files = [path] if path.is_file() else filter(Path.is_file, path.rglob("*"))
    contents = [file.read_bytes() for file in files]
    zipped = [gzip.compress(content, compresslevel=6) for content in contents]
    return {"bytes": sum(map(len, contents)), "gzip_bytes": sum(map(len, zipped))}
