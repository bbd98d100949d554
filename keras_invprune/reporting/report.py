"""Describes a model and its costs: a dataclass, a table, JSON."""

import hashlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from rich.console import Console
from rich.table import Column, Table

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import Nested, Views
from keras_invprune.exporting import converter
from keras_invprune.exporting.accuracy import balanced_accuracy
from keras_invprune.exporting.batches import in_batches, reset_states, states_kept
from keras_invprune.exporting.export import FORMATS, ExportError, export
from keras_invprune.exporting.serving import named_outputs
from keras_invprune.exporting.timing import processor
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.graph.inventory import inventory
from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.weights import check_keras, check_plain
from keras_invprune.reporting.consistency import NoClassesError, consistency
from keras_invprune.reporting.timing import milliseconds
from keras_invprune.views import (
    RandomRotation,
    RandomScale,
    RandomShift,
    ScarfCorruption,
)
from keras_invprune.views.pairs import channels_come_first, channels_last

SCHEMA = "keras_invprune/report/1"
logger = logging.getLogger("keras_invprune")
KEY_WIDTH = 22  # characters up to which a key is not wrapped


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a model contains and costs. None means unknown.

    Attributes:
        name: The model's name.
        parameters: The number of all weights, including biases and statistics.
        weights: ``total``, ``zeros`` and ``sparsity`` of the kernels (weights of rank
            >= 2 that are not biases). In a run also ``requested``, the sparsity that
            was requested for the prunable kernels.
        macs: ``dense``, the multiply-accumulate operations by kernels for one input,
            and ``sparse``, those that remain if zeros are skipped.
        layers: ``shape``, ``zeros``, ``macs`` and ``sparse_macs`` of each kernel, by
            key.
        left_alone: ``{key: reason}`` of the kernels without zeros.
        files: For each exported file ``bytes``, ``gzip_bytes``, ``max_abs_error`` and
            ``same_class`` (the share of rows assigned to the same class as by Keras),
            or ``error`` if it could not be made.
        milliseconds: ``median``, ``low`` and ``high`` (quartiles) for one input through
            LiteRT on one thread.
        accuracy: A share in [0, 1].
        balanced_accuracy: The mean recall over the classes, in [0, 1].
        consistency: ``{view: share in [0, 1]}``.
        data: ``rows``, and ``digest``, 12 digits of the rows' SHA-256, which show
            whether reports were measured on the same rows.
        processor: What the milliseconds were measured on; "" if the system does not
            tell.
    """

    name: str
    parameters: int
    weights: dict[str, int | float]
    macs: dict[str, int] | None
    layers: dict[str, dict[str, Any]]
    left_alone: dict[str, str]
    files: dict[str, dict[str, Any]]
    milliseconds: dict[str, float] | None
    accuracy: float | None
    consistency: dict[str, float]
    balanced_accuracy: float | None = None  # from here on, not in older files
    data: dict[str, Any] | None = None
    processor: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the report as what `json.dumps` takes, with its ``schema``."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """Return the report that `to_json` has saved.

        Raises:
            ValueError: If `saved` is not such a report.
        """
        if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
            raise ValueError(
                "`saved` must be what `Report.to_json` returns, of the schema "
                f"{SCHEMA}. Received: {saved!r:.100}."
            )
        names = {field.name for field in fields(cls)}
        return cls(**{name: saved[name] for name in names & saved.keys()})

    def __str__(self) -> str:
        """Return the tables of `compare` for this report alone."""
        return compare({self.name: self})


def report(
    model: keras.Model,
    data: Nested = None,
    *,
    views: Mapping[str, Views] | None = None,
    runs: int = 200,
    seed: int = 0,
) -> Report:
    """Measure a model, with files made in a temporary folder.

    Args:
        model: A built Keras 3 model. Call `strip_pruning` on a pruned one first.
        data: ``x`` or ``(x, y)``, or a data set of them, as for `export`. None: random
            inputs, and neither accuracy nor consistency.
        views: ``{name: view}`` for the consistency. None: shift, scale and rotation for
            classifiers of images, corrupted features for classifiers of rows, and no
            views for others. A model that is not a classifier has neither accuracy nor
            consistency, which is logged.
        runs: Number of timed runs of one input, at least 1. In slow files it is lower,
            as a round of 30 runs ends after 20 milliseconds.
        seed: Seed of the default views.

    Returns:
        A `Report`, which prints as a table. `Report.to_json` returns what
        `json.dumps` takes.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> found = report(model)
        >>> found.parameters, found.macs["dense"]
        (10, 8)
        >>> print(compare({"before": found, "after": found}))  # doctest: +ELLIPSIS
        ┏...

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If the model is not built or has pruning masks, or if `data` does
            not fit.
    """
    check_keras(model)
    check_plain(model, "kip.report({}, data)")
    if not is_positive_integer(runs):
        raise ValueError(f"`runs` must be at least 1. Received: runs={runs!r}.")
    x, y = data = rows_of(data)
    with tempfile.TemporaryDirectory() as folder:
        files, found = _files(model, Path(folder), x if y is None else data)
        tflite = next(Path(folder).rglob("model.tflite"), None)
        time_of_one = milliseconds(tflite, model, x, runs) if tflite else None
    shares = {} if x is None else _consistency(model, x, views, y, seed)
    layers, macs = _layers(model, x, found["by_key"])
    return Report(
        name=model.name,
        parameters=int(model.count_params()),
        weights={name: found[name] for name in ("total", "zeros", "sparsity")},
        macs=macs,
        layers=layers,
        left_alone=found["left_alone"],
        files=files,
        milliseconds=time_of_one,
        accuracy=shares.pop("accuracy", None),
        balanced_accuracy=shares.pop("balanced_accuracy", None),
        consistency=shares,
        data=_fingerprint(x, y),
        processor=processor(),
    )


def compare(reports: dict[str, Report], width: int | None = 100) -> str:
    """Return reports side by side, as text.

    Args:
        reports: ``{heading: report}``. `Report.from_json` returns one that was saved.
        width: Width of the text in characters. None: that of the terminal.

    Returns:
        A table of the whole models, and one of the kernels of each model. A warning
        follows if they were measured on different data or processors.

    Raises:
        TypeError: If `reports` is not a dictionary of one report or more.
    """
    _check_reports(reports)
    # No markup, since headings and keys may contain [brackets].
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False)
    whole = Table("", *(Column(str(heading), overflow="fold") for heading in reports))
    for label, cells in _rows(list(reports.values())):
        whole.add_row(label, *cells)
    console.print(whole)
    data = {h: one.data for h, one in reports.items() if one.data}
    if len({one["digest"] for one in data.values()}) > 1:
        console.print(
            "Measured on different data, so do not compare accuracy and consistency: "
            + ", ".join(f"{h!r} on {_data(one)}" for h, one in data.items())
        )
    timed = {h: one.processor for h, one in reports.items() if one.milliseconds}
    known = {heading: name for heading, name in timed.items() if name}
    if len(set(known.values())) > 1:
        console.print(
            "Measured on different processors, so do not compare milliseconds: "
            + ", ".join(f"{heading!r} on {name}" for heading, name in known.items())
        )
    for heading, one in reports.items():
        console.print(_kernels(heading, one))
    return text.getvalue()


def _check_reports(reports: Any) -> None:
    if not (isinstance(reports, dict) and reports):
        given = "{}" if isinstance(reports, dict) else f"a {type(reports).__name__}"
        raise TypeError(
            f"`reports` must be a dict {{heading: report}}. Received: {given}. Use "
            '`kip.compare({"dense": kip.report(one), "pruned": kip.report(other)})`.'
        )
    for heading, one in reports.items():
        if not isinstance(one, Report):
            raise TypeError(
                "`reports` must contain reports. Received: a "
                f"{type(one).__name__} as {heading!r}. `kip.report(model, data)` "
                "makes the report of a model, and `kip.Report.from_json` one of what "
                "was saved."
            )


def _fingerprint(x: Nested, y: Nested) -> dict | None:
    """Return a fingerprint of the rows and their order."""
    if x is None:
        return None
    arrays = [np.asarray(array) for array in keras.tree.flatten(x)]
    arrays += [] if y is None else [np.asarray(y)]
    digest = hashlib.sha256()
    for array in arrays:
        text = array.dtype.kind in "OSU"
        digest.update(repr((array.shape, array.dtype.name)).encode())
        digest.update(repr(array.tolist()).encode() if text else array.tobytes())
    return {"rows": len(arrays[0]), "digest": digest.hexdigest()[:12]}


def _data(one: dict[str, Any]) -> str:
    return f"{one['rows']:,} rows ({one['digest']})"


def _default_views(model: keras.Model, seed: int | None) -> dict:
    specs = keras.tree.flatten(converter.signature(model))
    rank = len(specs[0].shape) if len(specs) == 1 else None
    first = rank == 4 and channels_come_first(specs[0].shape)
    if rank == 4 and first is not None:
        found = {
            "shift": RandomShift(0.1, seed=seed),
            "scale": RandomScale((0.8, 1.2), seed=seed),
            "rotation": RandomRotation(15, seed=seed),
        }
        return {k: channels_last(v) if first else v for k, v in found.items()}
    if rank == 2 and keras.backend.is_float_dtype(specs[0].dtype):
        return {"corruption": (None, ScarfCorruption(seed=seed))}
    return {}


def _consistency(
    model: keras.Model,
    x: Nested,
    views: Mapping[str, Views] | None,
    y: Nested,
    seed: int | None,
) -> dict:
    wanted = views if views is not None else _default_views(model, seed)
    if not wanted and y is None:
        return {}
    if isinstance(y, dict | list):
        (only, *more) = keras.tree.flatten(y) if _is_structure(y) else [y]
        if more:
            logger.warning(
                "Accuracy and consistency are only measured for models with one output."
            )
            return {}
        y = only
    try:
        with states_kept(model):
            run = _in_own_batches(model)
            shares: dict[str, float | None] = dict(consistency(run, x, wanted, y))
            if y is not None:
                own = run is model
                outputs = model.predict(x, 256, verbose=0) if own else run(x)
                (outputs,) = keras.tree.flatten(outputs)
                shares["balanced_accuracy"] = balanced_accuracy(outputs, y)
            return shares
    except NoClassesError as error:
        if views is not None:
            raise
        logger.warning("Accuracy and consistency are unknown. %s", error)
        return {}


def _is_structure(y: Nested) -> bool:
    """Return whether labels are a structure for several outputs, not a plain list."""
    return isinstance(y, dict) or any(np.ndim(part) for part in y)


def _in_own_batches(model: keras.Model) -> Callable:
    """Return the model, or a callable if it needs fixed batches or string tensors."""
    structure = converter.signature(model)
    size = converter.batch_of(structure)
    strings = any(spec.dtype == "string" for spec in keras.tree.flatten(structure))
    if size is None and not strings:
        return model

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        reset_states(model)
        arrays = list(inputs.values())
        outputs = model(keras.tree.pack_sequence_as(structure, arrays), training=False)
        named = named_outputs(outputs)
        return {k: keras.ops.convert_to_numpy(v) for k, v in named.items()}

    def predict(x: Nested) -> Nested:
        outputs = in_batches(run, converter.inputs(structure, x), size)
        (first, *more) = outputs.values()
        return outputs if more else first

    return predict


def _files(model: keras.Model, folder: Path, data: Nested) -> tuple[dict, dict]:
    """Return the figures of each format's file, or its error, and the inventory."""
    try:  # all at once, which runs the model and traces it a single time
        made = export(model, folder / "all", data=data)
        return made.files, made.weights
    except ExportError:
        return _files_by_format(model, folder, data), inventory(model)


def _files_by_format(
    model: keras.Model, folder: Path, data: Nested
) -> dict[str, dict[str, Any]]:
    """Return the figures of each file that is not refused, and the others' errors."""
    files = {}
    for format in FORMATS:
        try:
            made = export(model, folder / format, data=data, formats=(format,))
        except ExportError as error:
            files[format] = {"error": str(error)}
        else:
            files |= made.files
    return files


def _layers(
    model: keras.Model, x: Nested, by_key: dict[str, dict[str, Any]]
) -> tuple[dict, dict | None]:
    inputs = converter.inputs(converter.signature(model), x)
    structure = converter.signature(model)
    size = converter.batch_of(structure) or 1
    first = [np.resize(array, (size, *array.shape[1:])) for array in inputs.values()]
    first = [keras.ops.convert_to_tensor(array) for array in first]
    with states_kept(model):
        uses = kernel_uses(model, keras.tree.pack_sequence_as(structure, first))
    layers = {}
    for key, kernel in by_key.items():
        size, times = int(np.prod(kernel["shape"])), uses[key]
        macs = None if times is None else size * times
        sparse = None if times is None else (size - kernel["zeros"]) * times
        layers[key] = {**kernel, "macs": macs, "sparse_macs": sparse}
    known = [layer for layer in layers.values() if layer["macs"] is not None]
    if len(known) < len(layers):
        return layers, None
    return layers, {
        "dense": sum(layer["macs"] for layer in known),
        "sparse": sum(layer["sparse_macs"] for layer in known),
    }


def _rows(reports: Sequence[Report]) -> Iterator[tuple[str, list[str]]]:
    """Yield (label, cells) of the table of whole models."""
    yield "parameters", [f"{one.parameters:,}" for one in reports]
    zeros = "{zeros:,} of {total:,} ({sparsity:.1%})"
    yield "zeros in kernels", [zeros.format(**one.weights) for one in reports]
    requested = [one.weights.get("requested") for one in reports]
    if any(share is not None for share in requested):
        yield "requested of the prunable", [_share(share, 1) for share in requested]
    macs = [one.macs for one in reports]
    yield "MACs", [f"{m['dense']:,}" if m else "unknown" for m in macs]
    yield "MACs without zeros", [f"{m['sparse']:,}" if m else "unknown" for m in macs]
    for file in dict.fromkeys(name for one in reports for name in one.files):
        entries = [one.files.get(file, {}) for one in reports]
        yield f"{file}, bytes (gzip)", [_bytes(entry) for entry in entries]
    times = [one.milliseconds for one in reports]
    spread = "{median:.3f} ({low:.3f} to {high:.3f})"
    yield "one input, ms", [spread.format(**t) if t else "unknown" for t in times]
    data = [one.data for one in reports]
    if any(data):
        yield "data", [_data(one) if one else "" for one in data]
    yield "accuracy", [_share(one.accuracy) for one in reports]
    balanced = [one.balanced_accuracy for one in reports]
    if any(share is not None for share in balanced):
        yield "balanced accuracy", [_share(share) for share in balanced]
    for view in dict.fromkeys(name for one in reports for name in one.consistency):
        shares = [one.consistency.get(view) for one in reports]
        yield f"same answer after {view}", [_share(share) for share in shares]


def _bytes(entry: dict[str, Any]) -> str:
    if "bytes" not in entry:
        return "refused" if "error" in entry else ""
    return f"{entry['bytes']:,} ({entry['gzip_bytes']:,})"


def _share(share: float | None, digits: int = 2) -> str:
    return "" if share is None else f"{share:.{digits}%}"


def _kernels(heading: str, one: Report) -> Table:
    columns = ["shape", "zeros", "MACs", "without zeros", "left alone"]
    longest = min(KEY_WIDTH, max(map(len, one.layers), default=0))
    first = Column("kernel", overflow="fold", min_width=longest)
    table = Table(first, *columns, title=str(heading))
    for key, kernel in one.layers.items():
        zeros = kernel["zeros"] / max(1, int(np.prod(kernel["shape"])))
        macs = [kernel["macs"], kernel["sparse_macs"]]
        cells = ["unknown" if value is None else f"{value:,}" for value in macs]
        shape = " x ".join(map(str, kernel["shape"]))
        why = one.left_alone.get(key, "")
        table.add_row(key, shape, f"{zeros:.1%}", *cells, why)
    return table
