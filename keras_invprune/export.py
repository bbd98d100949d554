"""Writes a model's files, and lets none leave that has not been run.

Each file is loaded again, run on the same rows as the Keras model, and compared.
All files appear together at the end, or none does.
"""

import contextlib
import errno
import functools
import gzip
import logging
import os
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_invprune import litert
from keras_invprune.batches import (
    in_batches,
    reset_states,
    stateful_layers,
    states_kept,
)
from keras_invprune.consistency import accuracy, predicted_classes
from keras_invprune.folders import local, replacing, write_report
from keras_invprune.inventory import inventory
from keras_invprune.rows import rows_of
from keras_invprune.serving import (
    load_saved_model,
    named_outputs,
    output_names,
    safe_names,
    write_saved_model,
)
from keras_invprune.ways_out import RANDOM, reason, ways_out
from keras_invprune.weights import is_graph, walk

SCHEMA = "keras_invprune/export/1"
FORMATS = ("keras", "saved_model", "tflite")
LIBRARIES = ("keras", "tensorflow", "numpy", "ai-edge-litert")
LEAST = 1e-6  # allowed of outputs that are nothing but rounding
COMPARED_ROWS, COMPARED_BATCHES = 256, 32
# By the compute dtype: 11 bits of float16 and 8 of bfloat16, against 24 of float32.
TOLERANCES = {"float16": 1e-2, "bfloat16": 1e-1}
MODEL_FILES = (".keras", ".h5", ".hdf5", ".tflite", ".pb")

logger = logging.getLogger("keras_invprune")


class ExportError(RuntimeError):
    """A file cannot be made, or does not compute what the Keras model computes."""


def export(
    model,
    folder,
    *,
    data=None,
    formats=FORMATS,
    tflite_options=("sparsity",),
    tolerance=None,
    batch_size=None,
) -> dict:
    """Writes the files of a model into a folder, each verified by running it.

    A file is refused if an output differs from Keras's by more than
    ``tolerance * max |Keras's output| + 1e-6``; the rounding of "float16" may cost
    1e-2 and that of "int8" 1e-1 where the tolerance is smaller. LiteRT runs the .tflite
    file with and without its default delegate, and both must agree with Keras. All
    files are of the model in evaluation mode, layers that augment images included.

    A model made for one batch size, by ``keras.Input(batch_shape=...)``, gives files
    for that size. Names of inputs and outputs that a file cannot have are replaced,
    which the log and the report say.

    Args:
        model: A built Keras 3 model; a pruned one after `strip_pruning`.
        folder: Where to. An earlier export is replaced once the new one is complete;
            a folder that holds anything else is refused.
        data: ``x`` or ``(x, y)``: arrays or sparse tensors, or a list or dict of them,
            or a `tf.data.Dataset` of batches; to compare on (256 rows), and labels for
            the accuracy (on all rows). None: random inputs, 0 and 1 where they are
            integers.
        formats: Any of ``"keras"`` (model.keras), ``"saved_model"`` (saved_model/) and
            ``"tflite"`` (model.tflite).
        tflite_options: Any of ``"sparsity"`` (zeros are not stored, where that makes
            the file smaller), and ``"float16"`` or ``"int8"`` (dynamic range).
        tolerance: Largest difference from Keras's outputs. None: 1e-4, but 1e-2 where
            a layer computes in float16 and 1e-1 where one computes in bfloat16.
        batch_size: Number of rows that SavedModel and .tflite take, as 1 for GPU and
            NNAPI delegates, which want tensors of fixed shape, and for recurrent layers
            in .tflite. None: that of the model's inputs, or any.

    Returns:
        The report, also written to ``report.json``: by file bytes, differences and the
        share of rows put into the same class (None without classes); zeros of each
        kernel and what is left alone (`keras_invprune.inventory`), accuracy (None
        without class labels), names that had to be replaced, batch size, tolerance,
        versions and checksums.

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
    _check(model, data, formats, tflite_options, tolerance, batch_size)
    _check_folder(folder)
    x, y = rows_of(data)
    tolerance = _usual_tolerance(model) if tolerance is None else tolerance
    with replacing(folder) as new, states_kept(model):
        same = _SameOutputs(model, x, y, batch_size)
        renamed = ({}, {}) if set(formats) == {"keras"} else same.renamed()
        files = _write(model, new, formats, tflite_options, same, tolerance)
        report = {
            "inputs": "random" if x is None else "given",
            "batch_size": same.file_batch,
            "renamed": renamed[0],
            "outputs_renamed": renamed[1],
            "tolerance": tolerance,
            "weights": inventory(model),
            "accuracy": same.accuracy,
            "files": {name: _sizes(new / name) | files[name] for name in files},
            "versions": {name: version(name) for name in LIBRARIES},
        }
        return write_report(new, SCHEMA, report)


def _check(model, data, formats, tflite_options, tolerance, batch_size):
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
    if not litert.are_names(formats, FORMATS) or not formats:
        raise ValueError(
            f"`formats` must name some of {FORMATS}. Received: formats={formats!r}."
        )
    litert.check_options(tflite_options)
    number = isinstance(tolerance, int | float | np.number)
    if tolerance is not None and not (number and 0 <= tolerance < float("inf")):
        raise ValueError(
            f"`tolerance` must be >= 0 and finite. Received: tolerance={tolerance!r}."
        )
    whole = isinstance(batch_size, (int, np.integer)) and batch_size >= 1
    if batch_size is not None and (isinstance(batch_size, bool) or not whole):
        raise ValueError(
            "`batch_size` must be a whole number of rows, 1 or more, or None for any. "
            f"Received: batch_size={batch_size!r}."
        )


def _check_folder(folder):
    folder = local(folder)
    if folder.suffix.lower() in MODEL_FILES and not folder.is_file():
        raise ValueError(
            "`folder` must be a folder, in which the files get their names. Received: "
            f"{str(folder)!r}, the name of a file. For a folder, "
            f"`kip.export(model, {str(folder.with_suffix(''))!r})`; for a .keras file "
            "alone, unverified, `model.save(...)`."
        )


def _usual_tolerance(model) -> float:
    """That of the coarsest number format in which a layer computes."""
    dtypes = {
        layer.compute_dtype
        for _, layer in walk(model)
        if not isinstance(layer, keras.Model)
    }
    return max([TOLERANCES.get(dtype, 1e-4) for dtype in dtypes], default=1e-4)


class _SameOutputs:
    """Compares a file's outputs with those of the Keras model, on the same rows."""

    def __init__(self, model, x, y, batch_size):
        self.model = model
        self.structure = litert.signature(model, batch_size)
        self.file_batch = litert.batch_of(self.structure)
        self.batch = litert.batch_of(litert.signature(model))
        own = isinstance(model, keras.Sequential) and is_graph(model)
        if self.file_batch is None and own:
            _say_if_any_batch_will_do(model)
        inputs = litert.inputs(self.structure, x)
        self.names = safe_names(list(inputs))
        rows = len(next(iter(inputs.values())))
        labels = _labels(y)
        for part in labels:
            if len(part) != rows:
                raise ValueError(
                    f"`data` has {rows} rows of x, but {len(part)} labels y."
                )
        most = min(COMPARED_ROWS, COMPARED_BATCHES * (self.file_batch or COMPARED_ROWS))
        self.inputs = {name: array[:most] for name, array in inputs.items()}
        run = self.of_keras(model)
        outputs = _on_cpu(run, self.inputs if y is None else inputs, self.batch)
        self.outputs = {k: v[:most].astype(float) for k, v in outputs.items()}
        if not all(np.isfinite(array).all() for array in self.outputs.values()):
            raise ValueError("The Keras model gives NaN or infinity on these inputs.")
        self.accuracy = None
        if len(labels) == len(outputs) == 1:
            self.accuracy = accuracy(*outputs.values(), *labels)

    def renamed(self) -> tuple[dict[str, str], dict[str, str]]:
        """``{name: name in the files}`` of inputs and of outputs that are renamed."""
        both = []
        for kind, names in (("input", self.names), ("output", self.output_names)):
            both.append({name: safe for name, safe in names.items() if name != safe})
            for name, safe in both[-1].items():
                logger.warning("The %s %r is called %r in the files.", kind, name, safe)
        return tuple(both)

    def named(self):
        """The structure of inputs, with the names that they have in the files."""
        specs = [
            keras.InputSpec(dtype=s.dtype, shape=s.shape, name=self.names[s.name])
            for s in keras.tree.flatten(self.structure)
        ]
        return keras.tree.pack_sequence_as(self.structure, specs)

    def of_keras(self, model):
        """Runs a Keras model from its states at rest."""

        def run(structure):
            reset_states(model)
            outputs = model(structure, training=False)
            self.output_names = output_names(outputs)
            return outputs

        return self.by_name(run)

    def by_name(self, call):
        """Makes arrays by name of what `call` takes and returns in a structure."""

        def run(inputs):
            arrays = list(inputs.values())
            outputs = call(keras.tree.pack_sequence_as(self.structure, arrays))
            named = named_outputs(outputs)
            return {k: keras.ops.convert_to_numpy(v) for k, v in named.items()}

        return run

    def of_litert(self, content, delegate):
        """Runs a .tflite file; anew for each batch where there are states to reset."""
        runtime = functools.partial(litert.runtime, content, delegate=delegate)
        stateless = None if stateful_layers(self.model) else runtime()

        def run(inputs):
            by_file = {self.names[name]: array for name, array in inputs.items()}
            return (stateless or runtime())(by_file)

        return run

    def __call__(self, run, tolerance, batch) -> dict:
        """What was found of a file: see `export`.

        Raises:
            ValueError: Unless all outputs are within the tolerance.
        """
        worst, same_class, fault = self._difference(run, tolerance, batch)
        if not fault:
            return {"max_abs_error": worst, "same_class": same_class}
        again = self.of_keras(self.model)
        if self._difference(again, tolerance, self.batch)[-1]:
            raise ValueError(
                f"the Keras model {RANDOM}, so that no file can be like it"
            )
        raise ValueError(fault)

    def _difference(self, run, tolerance, batch) -> tuple[float, float | None, str]:
        """Max |difference|, share of rows of the same class, and what is too large."""
        found = _on_cpu(run, self.inputs, batch)
        worst = 0.0
        for name, expected in self.outputs.items():
            error = float(np.abs(found[name].astype(float) - expected).max())
            limit = tolerance * np.abs(expected).max() + LEAST
            if not error <= limit:  # NaN is within no limit.
                fault = f"output {name!r} is off by {error:.3g}, allowed {limit:.3g}"
                return error, None, fault
            worst = max(worst, error)
        return worst, _same_class(found, self.outputs), ""


def _same_class(found, expected) -> float | None:
    """Share of the rows whose largest output is the same one; None without classes."""
    outputs = [*expected.values()]
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return None
    one, other = (predicted_classes(a) for a in (*found.values(), *outputs))
    return float(np.mean(one == other))


def _labels(y) -> list:
    """The labels of each output: of several in a dict, or in a list of arrays."""
    if y is None:
        return []
    several = isinstance(y, (list, tuple)) and all(hasattr(p, "shape") for p in y)
    if isinstance(y, dict) or (several and any(map(np.ndim, y))):
        return keras.tree.flatten(y)
    return [y]


def _say_if_any_batch_will_do(model):
    size = model.input_shape[0]
    if size is not None:
        logger.warning(
            "The files take batches of any size, although the input shape of %r has "
            "%d rows: that may be the first batch it saw. `batch_size=%d` fixes it, "
            "and so does a name, `keras.Input(batch_shape=..., name=...)`.",
            model.name,
            size,
            size,
        )


def _on_cpu(run, inputs, batch) -> dict[str, np.ndarray]:
    # On the CPU, as LiteRT: a GPU may round float32 factors to 11 bits (TF32).
    with tf.device("/CPU:0"):
        return in_batches(run, inputs, batch)


def _write(model, new, formats, options, same, tolerance) -> dict[str, dict]:
    """Writes and runs the files; what was found of each, by name."""
    found = {}
    if "keras" in formats:
        with _refusing("model.keras", "Keras", model):
            model.save(new / "model.keras")
            loaded = keras.saving.load_model(new / "model.keras", compile=False)
            run = same.of_keras(loaded)
            found["model.keras"] = same(run, tolerance, same.batch)
    if {"saved_model", "tflite"} & set(formats):
        # Where it is not asked for, it is only what the .tflite file is made from.
        path = (new if "saved_model" in formats else new.parent) / "saved_model"
        with _refusing("saved_model", "TensorFlow", model):
            reset_states(model)
            write_saved_model(model, same.named(), path)
            serve = load_saved_model(path, model)
            entry = same(same.by_name(serve), tolerance, same.file_batch)
        if "saved_model" in formats:
            found["saved_model"] = entry
    if "tflite" in formats:
        found["model.tflite"] = _write_tflite(
            model, new, path, options, same, tolerance
        )
    return found


def _write_tflite(model, new, saved_model, options, same, tolerance) -> dict:
    tolerance = max(tolerance, *(litert.ROUNDING.get(o, 0.0) for o in options), 0.0)
    with _refusing("model.tflite", "TensorFlow's converter", model):
        content, found = litert.convert(saved_model, options)
    (new / "model.tflite").write_bytes(content)
    for name, delegate in (("default", True), ("no", False)):
        end = "" if delegate else "_without_delegate"
        runtime = f"LiteRT with {name} delegate"
        with _refusing("model.tflite", runtime, model), litert.pages_in_a_log():
            run = same.of_litert(content, delegate)
            entry = same(run, tolerance, same.file_batch)
        found |= {key + end: value for key, value in entry.items()}
    return found


@contextlib.contextmanager
def _refusing(file, runtime, model):
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        if "No space left on device" in str(error):  # as TensorFlow says it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        notes = "".join(f" {note}" for note in getattr(error, "__notes__", []))
        raise ExportError(
            f"{file} is refused, and nothing was written. {runtime}: "
            f"{reason(file, error)}. "
            f"{ways_out(file, error, model)}{notes}"
        ) from error


def _sizes(path) -> dict:
    files = [path] if path.is_file() else filter(Path.is_file, path.rglob("*"))
    contents = [file.read_bytes() for file in files]
    zipped = [gzip.compress(content, compresslevel=6) for content in contents]
    return {"bytes": sum(map(len, contents)), "gzip_bytes": sum(map(len, zipped))}
