"""Writes the files of a model and verifies each by running it.

Each file is loaded again, run on the same rows as the Keras model, and compared. All
files appear together at the end, or none does.
"""

import contextlib
import functools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import keras

from keras_invprune.arguments import is_number, number
from keras_invprune.contracts import Nested
from keras_invprune.exporting import converter
from keras_invprune.exporting.batches import reset_states, states_kept
from keras_invprune.exporting.checks import check_batch_size
from keras_invprune.exporting.errors import ExportError, raise_if_disk_is_full
from keras_invprune.exporting.folders import local, replacing, write_report
from keras_invprune.exporting.planner import TARGETS, FileBudget, Planned, Target, plan
from keras_invprune.exporting.precision import in_float32, note
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.serving import load_saved_model, write_saved_model
from keras_invprune.exporting.sizes import contents_of, sizes
from keras_invprune.exporting.verify import SameOutputs
from keras_invprune.exporting.ways_out import reason, ways_out
from keras_invprune.graph.connections import check_absent
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.graph.inventory import inventory
from keras_invprune.graph.weights import check_keras, check_plain, walk, weights_by_key

SCHEMA = "keras_invprune/export/1"
FORMATS = ("keras", "saved_model", "tflite")
OPTIONS = ("sparsity",)
MAX_LOSS = 0.003
LIBRARIES = ("keras", "tensorflow", "numpy", "ai-edge-litert")
# By compute dtype: float16 has 11 bits and bfloat16 8, against 24 of float32.
TOLERANCES = {"float16": 1e-2, "bfloat16": 1e-1}
MODEL_FILES = (".keras", ".h5", ".hdf5", ".tflite", ".pb")

logger = logging.getLogger("keras_invprune")


@dataclass(frozen=True)
class Exported:
    """What an export has written, and how far it is from the Keras model.

    Attributes:
        inputs: "given" or "random".
        batch_size: Number of rows that the files take; None for any.
        renamed: ``{name of an input: its name in the files}``, if they differ.
        outputs_renamed: The same of the outputs.
        tolerance: Largest difference, as a share of Keras's largest output.
        weights: The zeros of each kernel and the weights not pruned, see
            `keras_invprune.graph.inventory`.
        accuracy: A share in [0, 1]; None without class labels.
        files: For each file its size in bytes, its differences from Keras, and the
            share of rows assigned to the same class, None without classes.
        versions: ``{library: version}``.
        sha256: Checksum of each file; None for a folder.
    """

    inputs: str
    batch_size: int | None
    renamed: dict[str, str]
    outputs_renamed: dict[str, str]
    tolerance: float
    weights: dict[str, Any]
    accuracy: float | None
    files: dict[str, dict[str, Any]]
    versions: dict[str, str]
    sha256: dict[str, str | None]

    def to_json(self) -> dict[str, Any]:
        """Return what ``report.json`` holds."""
        return {"schema": SCHEMA, **asdict(self)}


@overload
def export(
    model: keras.Model,
    folder: str | Path,
    *,
    data: Nested = None,
    formats: Iterable[str] = FORMATS,
    tflite_options: Iterable[str] = OPTIONS,
    tolerance: float | None = None,
    batch_size: int | None = None,
    target: None = None,
) -> Exported: ...


@overload
def export(
    model: keras.Model,
    folder: str | Path,
    *,
    data: Nested = None,
    tolerance: float | None = None,
    batch_size: int | None = None,
    target: str | Target,
    max_loss: float = MAX_LOSS,
    budget: Mapping[str, float] | FileBudget | None = None,
) -> Planned: ...


def export(
    model: keras.Model,
    folder: str | Path,
    *,
    data: Nested = None,
    formats: Iterable[str] = FORMATS,
    tflite_options: Iterable[str] = OPTIONS,
    tolerance: float | None = None,
    batch_size: int | None = None,
    target: str | Target | None = None,
    max_loss: float = MAX_LOSS,
    budget: Mapping[str, float] | FileBudget | None = None,
) -> Exported | Planned:
    """Write the files of a model into a folder and verify each by running it.

    With a `target`, all files that make sense are made, run and measured: float32 and
    float16, with and without zeros, quantized to 8 and 4 bits, from the model and from
    what `compact` leaves of it. Only the best one is written. The result prints as a
    table of all of them, with the reason for each that was dropped.

    Without one, the given formats are written. A file is then rejected if an output
    differs from Keras's by more than ``tolerance * max |Keras's output| + 1e-6``. For
    "float16" and "int8", the tolerance is at least 1e-2 and 1e-1, because of their
    rounding. LiteRT runs the .tflite file with and without its default delegate, and
    both must agree with Keras. All files contain the model in evaluation mode,
    including layers that augment images. A .tflite file of a model of mixed precision
    computes in float32.

    The files of a model with a fixed batch size (``keras.Input(batch_shape=...)``) have
    the same size. Names of inputs and outputs that are invalid in a file are replaced;
    the log and the report say so.

    Args:
        model: A built Keras 3 model. Call `strip_pruning` on a pruned one first.
        folder: Folder to write to. An earlier export is replaced when the new one is
            complete. A folder with other contents is rejected.
        data: ``x`` or ``(x, y)``: arrays or sparse tensors, or a list or dict of them,
            or a `tf.data.Dataset` of batches. Outputs are compared on 256 rows; the
            accuracy, or the metric of a target, is measured on all rows. None: random
            inputs, 0 and 1 for integers.
        formats: Any of ``"keras"`` (model.keras), ``"saved_model"`` (saved_model/) and
            ``"tflite"`` (model.tflite). Not with a target.
        tflite_options: Any of ``"sparsity"`` (zeros are not stored if that makes the
            file smaller), and ``"float16"`` or ``"int8"`` (dynamic range). Not with a
            target.
        tolerance: Largest difference, as a share of Keras's largest output. None: 1e-4,
            but 1e-2 if a layer computes in float16, and 1e-1 if one computes in
            bfloat16.
        batch_size: Number of rows that the SavedModel and the .tflite file take. Use 1
            for GPU and NNAPI delegates, which need fixed shapes, and for recurrent
            layers in .tflite. None: that of the model's inputs, or any. With a target,
            it is 1 for recurrent layers that need it.
        target: What the best file is to be good at: "litert-cpu" (the fastest .tflite
            file on one thread of the CPU), "size" (the smallest one),
            "onnxruntime-cpu" (the fastest ONNX file), "openvino-cpu" (the fastest file
            of OpenVINO) or "any" (the fastest file of any runtime); or a `Target`,
            which can have a metric of your own.
        max_loss: What the metric may lose against Keras: the accuracy on the given
            rows, in [0, 1], or what `Target` says.
        budget: What the best file may cost, such as ``{"bytes": 100_000}`` or
            ``{"milliseconds": 0.2}``, or both.

    Returns:
        What was written, with sizes and differences; with a target, what was found out
        about all files. ``report.json`` holds the same.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> x, y = np.random.rand(32, 4).astype("float32"), np.arange(32) % 2
        >>> found = export(model, "exported", data=(x, y), formats=("keras", "tflite"))
        >>> sorted(path.name for path in Path("exported").iterdir())
        ['model.keras', 'model.tflite', 'report.json']
        >>> found.files["model.tflite"]["max_abs_error"] < 1e-4
        True

    Raises:
        ExportError: If a file cannot be made or run, or differs; or if no file meets
            the budget. Nothing is written.
        FileExistsError: If the folder contains anything but an earlier export.
        OSError: If the disk is full, or if the folder cannot be written.
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If the model is not built, has weights where the graph that it was
            made from has no connections, or if an argument is invalid.
    """
    _check(model, formats, tflite_options, tolerance, batch_size)
    goal = None if target is None else Target.of(target)
    _check_goal(goal, formats, tflite_options, max_loss, budget)
    _check_folder(folder)
    x, y = rows_of(data)
    tolerance = _usual_tolerance(model) if tolerance is None else number(tolerance)
    if goal is not None:
        return plan(
            model,
            folder,
            x,
            y,
            target=goal,
            max_loss=number(max_loss),
            budget=FileBudget.of(budget),
            tolerance=tolerance,
            batch_size=batch_size,
        )
    with replacing(folder) as new, states_kept(model):
        same = SameOutputs(model, x, y, batch_size)
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
            "files": {
                name: sizes(contents_of(new / name)) | files[name] for name in files
            },
            "versions": {name: version(name) for name in LIBRARIES},
        }
        written = write_report(new, SCHEMA, report)
        return Exported(**{k: v for k, v in written.items() if k != "schema"})


def _check(
    model: keras.Model,
    formats: Iterable[str],
    tflite_options: Iterable[str],
    tolerance: float | None,
    batch_size: int | None,
) -> None:
    check_keras(model)
    check_plain(model, "kip.export({}, folder)")
    if not converter.are_names(formats, FORMATS) or not formats:
        raise ValueError(
            f"`formats` must name some of {FORMATS}. Received: formats={formats!r}."
        )
    converter.check_options(tflite_options)
    if tolerance is not None and not (
        is_number(tolerance) and 0 <= tolerance < float("inf")
    ):
        raise ValueError(
            f"`tolerance` must be >= 0 and finite. Received: tolerance={tolerance!r}."
        )
    check_batch_size(batch_size)
    check_absent({key: w.variable for key, w in weights_by_key(model).items()})


def _check_goal(
    goal: str | Target | None,
    formats: Iterable[str],
    tflite_options: Iterable[str],
    max_loss: float,
    budget: Mapping[str, float] | FileBudget | None,
) -> None:
    """Raise ValueError unless a target stands without formats, and no limit alone."""
    if goal is None:
        if budget is not None or max_loss != MAX_LOSS:
            raise ValueError(
                "`max_loss` and `budget` limit the files of a target. Received: "
                f"max_loss={max_loss!r}, budget={budget!r}, and no target. Pass one of "
                f"{TARGETS}."
            )
        return
    if formats != FORMATS or tflite_options != OPTIONS:
        raise ValueError(
            "A target chooses the format itself. Received: a target, "
            f"formats={formats!r}, tflite_options={tflite_options!r}. Leave out the "
            "formats and options, or the target."
        )
    if not (is_number(max_loss) and 0 <= max_loss < math.inf):
        raise ValueError(
            f"`max_loss` must be >= 0 and finite. Received: max_loss={max_loss!r}."
        )
    FileBudget.of(budget)


def _check_folder(folder: str | Path) -> None:
    folder = local(folder)
    if folder.suffix.lower() in MODEL_FILES and not folder.is_file():
        raise ValueError(
            "`folder` must be a folder; the names of the files in it are fixed. "
            f"Received: {str(folder)!r}, the name of a file. Use "
            f"`kip.export(model, {str(folder.with_suffix(''))!r})`. For a .keras file "
            "alone, which is not verified, use `model.save(...)`."
        )


def _usual_tolerance(model: keras.Model) -> float:
    """Return the tolerance for the coarsest number format of the model's layers."""
    dtypes = {
        layer.compute_dtype
        for _, layer in walk(model)
        if not isinstance(layer, keras.Model)
    }
    return max([TOLERANCES.get(dtype, 1e-4) for dtype in dtypes], default=1e-4)


def _write(
    model: keras.Model,
    new: Path,
    formats: Iterable[str],
    options: Iterable[str],
    same: SameOutputs,
    tolerance: float,
) -> dict[str, dict]:
    """Write and run the files; return the figures of each by name."""
    found = {}
    if "keras" in formats:
        with _refusing("model.keras", "Keras", model):
            model.save(new / "model.keras")
            loaded = keras.saving.load_model(new / "model.keras", compile=False)
            run = same.of_keras(loaded)
            found["model.keras"] = same(run, tolerance, same.batch)
    path = new / "saved_model"
    if "saved_model" in formats:
        found["saved_model"] = _write_saved_model(model, path, same, tolerance)
    if "tflite" in formats:
        if mixed := note(model):
            logger.warning("model.tflite: %s", mixed)
        if mixed or "saved_model" not in formats:
            path = new.parent / "saved_model"  # only to be converted
            with in_float32(model):
                _write_saved_model(model, path, same, tolerance)
        found["model.tflite"] = _write_tflite(
            model, new, path, options, same, tolerance
        )
    return found


def _write_saved_model(
    model: keras.Model, path: Path, same: SameOutputs, tolerance: float
) -> dict:
    with _refusing("saved_model", "TensorFlow", model):
        reset_states(model)
        write_saved_model(model, same.named(), path)
        serve = load_saved_model(path, model)
        return same(same.by_name(serve), tolerance, same.file_batch)


def _write_tflite(
    model: keras.Model,
    new: Path,
    saved_model: Path,
    options: Iterable[str],
    same: SameOutputs,
    tolerance: float,
) -> dict:
    tolerance = max(tolerance, *(converter.ROUNDING.get(o, 0.0) for o in options), 0.0)
    with _refusing("model.tflite", "TensorFlow's converter", model):
        content, found = converter.convert(saved_model, options)
    path = new / "model.tflite"
    path.write_bytes(content)
    with Sandbox() as sandbox:
        for name, delegate in (("default", True), ("no", False)):
            end = "" if delegate else "_without_delegate"
            runtime = f"LiteRT with {name} delegate"
            with _refusing("model.tflite", runtime, model), converter.stderr_to_log():
                run = same.of_runtime(functools.partial(sandbox.load, path, delegate))
                entry = same(run, tolerance, same.file_batch)
                sandbox.unload()
            found |= {key + end: value for key, value in entry.items()}
    return found


@contextlib.contextmanager
def _refusing(file: str, runtime: str, model: keras.Model) -> Iterator[None]:
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise_if_disk_is_full(error)
        notes = "".join(f" {note}" for note in getattr(error, "__notes__", []))
        raise ExportError(
            f"{file} was rejected, and nothing was written. {runtime}: "
            f"{reason(file, error)}. "
            f"{ways_out(file, error, model)}{notes}"
        ) from error
