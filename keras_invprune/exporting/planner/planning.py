"""Makes, runs and measures all files that make sense, and keeps the best one.

A file is dropped as soon as there is a reason: it cannot be made, is the same as
another one, does not run, is wrong in one of the runtimes, or less accurate. The others
are timed, and `choice` decides.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import keras
import numpy as np

from keras_invprune.compaction import compact
from keras_invprune.contracts import Nested
from keras_invprune.exporting import converter
from keras_invprune.exporting.batches import states_kept
from keras_invprune.exporting.errors import ExportError
from keras_invprune.exporting.folders import replacing, write_report
from keras_invprune.exporting.planner.candidates import (
    CANDIDATES,
    TFLITE,
    Candidate,
    Source,
)
from keras_invprune.exporting.planner.choice import (
    BY_BYTES,
    NothingLeftError,
    choose,
    judged_by_loss,
)
from keras_invprune.exporting.planner.loss import AGREEMENT, Loss, check_labels
from keras_invprune.exporting.planner.result import (
    SCHEMA,
    Planned,
    what_pruning_brings,
)
from keras_invprune.exporting.planner.row import BEST, NOT_MADE, Row, Run
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.planner.target import FileBudget, Target, show_nothing
from keras_invprune.exporting.planner.trying import Trial, Tried, attempt, name_of
from keras_invprune.exporting.precision import note
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.timing import Times, processor, times
from keras_invprune.exporting.verify import SameOutputs
from keras_invprune.exporting.ways_out import CAUSES, advice

# What makes and measures all files
LIBRARIES = ("keras", "tensorflow", "numpy", "ai-edge-litert", "zstandard")
MEMORY = 1e9  # bytes of the files that are loaded at a time to be timed
NO_LABELS = (
    "The labels are neither classes nor as many numbers as a single output has, so "
    "files were only compared with Keras. To use them, pass a function: "
    "`target=Target(..., metric=...)`."
)
PLAIN = "float32"  # the .tflite file that can be made if any can
COMPACT = "compact"
# LiteRT is slow for 4-bit weights with an odd number of inputs, and for floats with up
# to 32 units more than a multiple of 64 (benchmarks/widths.py).
ALONE = MappingProxyType({COMPACT: 1})
IN_32S = {**ALONE, "compact to 32s": 32}
LOOP = "TensorList"  # in the converter's error for loops over batches of any size
ONE_ROW = (
    "The file takes one row at a time, because TensorFlow Lite has loops over time "
    "steps only for a fixed batch size. For larger batches, use recurrent layers with "
    "`unroll=True`, or pass `batch_size`."
)


def plan(
    model: keras.Model,
    folder: str | Path,
    x: Nested,
    y: Nested,
    *,
    target: Target,
    max_loss: float,
    budget: FileBudget | None,
    tolerance: float,
    batch_size: int | None,
) -> Planned:
    """Write the best file of a model into a folder; see `keras_invprune.export`.

    Args:
        model: A built, plain Keras 3 model.
        folder: Folder to write to.
        x: Rows, or None for random ones.
        y: Labels, or None.
        target: What the file is to be good at.
        max_loss: What the metric may lose.
        budget: What the file may cost, or None.
        tolerance: Largest difference of float32 files, as a share of the largest
            output.
        batch_size: Number of rows that the file takes, or None for any.

    Raises:
        ExportError: If no file is right, accurate enough and within the budget.
        OSError: If the disk is full, or if the folder cannot be written.
        ValueError: If an argument is invalid.
    """
    check_labels(target.metric, y)
    kinds = [each for each in CANDIDATES if target.name in each.targets]
    with replacing(folder) as new, states_kept(model):
        work = new.parent / "tried"
        work.mkdir()
        tflite = any(each.file == TFLITE for each in kinds)
        given = model, x, y, batch_size, work, x is not None, tflite
        sources = Sources(*given, ALONE if target.name == BY_BYTES else IN_32S)
        renamed = sources.same.renamed()
        loss = Loss(sources.same, y, target.metric)
        if y is not None and loss.name == AGREEMENT:
            sources.notes.append(NO_LABELS)
        if 0 < max_loss < loss.step:
            sources.notes.append(
                f"A single row of another class loses {loss.step:.3g}, and "
                f"{max_loss:g} may be lost. Pass more rows."
            )
        with Sandbox() as sandbox:
            trial = Trial(work, tolerance, loss, sandbox)
            tried = _tried(sources, kinds, trial, target.show or show_nothing)
        sources.notes += _without_tflite(tried)
        tried = timed(tried, max_loss, target.rounds)
        chosen = _chosen(tried, target.name, max_loss, budget)
        _keep(tried, chosen, new)
        asked: dict[str, Any] = {
            "target": target.name,
            "max_loss": max_loss,
            "budget": dataclasses.asdict(budget) if budget else None,
            "tolerance": tolerance,
            "inputs": "random" if x is None else "given",
            "rows": sources.same.rows,
            "rounds": int(target.rounds),
            "processor": processor(),
        }
        outcome = what_pruning_brings(chosen, target.name, max_loss, budget)
        found = _described(sources, kinds, loss, renamed, outcome)
        return _reported(Planned(**asked, **found, files=chosen, sha256={}), new)


def _chosen(
    tried: Sequence[Tried], target: str, max_loss: float, budget: FileBudget | None
) -> tuple[Row, ...]:
    try:
        return choose([each.row for each in tried], target, max_loss, budget)
    except NothingLeftError as error:
        raise ExportError(f"{error}. Nothing was written.{_advice(tried)}") from error


def _without_tflite(tried: Sequence[Tried]) -> Iterator[str]:
    """Yield why there is no .tflite file, if the plain one could not be made."""
    for each in tried:
        if (each.row.name, each.row.verdict) == (PLAIN, NOT_MADE):
            helps = _advice([each])
            yield f"LiteRT cannot run the model: {each.row.reason}.{helps}"


def _advice(tried: Sequence[Tried]) -> str:
    """Return in a sentence what may help if a file was not made, or nothing."""
    for row, source in ((each.row, each.source) for each in tried):
        if row.verdict == NOT_MADE and row.file in CAUSES:
            for helps in advice(row.file, row.reason, source.model):
                return f" What may help: {helps}."
    return ""


def _described(
    sources: "Sources",
    kinds: Sequence[Candidate],
    loss: Loss,
    renamed: tuple[dict[str, str], dict[str, str]],
    outcome: str,
) -> dict[str, Any]:
    """Return the fields of `Planned` that say how all files were made and measured."""
    inputs, outputs = renamed
    return {
        "metric": loss.name,
        "keras": loss.keras,
        "batch_size": sources.same.file_batch,
        "renamed": inputs,
        "outputs_renamed": outputs,
        "notes": (*sources.notes, outcome),
        "versions": _versions(kinds),
    }


def _reported(planned: Planned, folder: Path) -> Planned:
    """Write the report of a folder; return it with the checksums of the files."""
    report = planned.to_json()
    del report["schema"], report["sha256"]
    written = write_report(folder, SCHEMA, report)
    return dataclasses.replace(planned, sha256=written["sha256"])


class Sources:
    """The Keras models from which files are made: the given one, and a smaller one.

    Args:
        model: The given model.
        x: Rows, or None for random ones.
        y: Labels, or None.
        batch_size: Number of rows that the files take, or None for any.
        work: Folder for intermediate files.
        calibrates: Whether the rows may show the ranges of activations.
        tflite: Whether .tflite files are made, where a loop needs a fixed batch size.
        compact: Of what `compact` is to keep multiples, by the name of the smaller
            model.

    Attributes:
        given: The given model.
        same: The rows, and what the given model returns for them.
        notes: What was decided for the user, in sentences.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Nested,
        y: Nested,
        batch_size: int | None,
        work: Path,
        calibrates: bool,
        tflite: bool = True,
        compact: Mapping[str, int] = ALONE,
    ):
        self.notes = [mixed] if (mixed := note(model)) else []
        self._compact = compact
        self._work, self._calibrates = work, calibrates
        self.same = SameOutputs(model, x, y, batch_size)
        self.given = self._source("", model)
        if not tflite or self.same.file_batch is not None:
            return
        _, error = attempt(lambda: self.given.dense)
        if LOOP in str(error):
            self.notes.append(ONE_ROW)
            self.same = SameOutputs(model, x, y, 1)
            self.given = self._source("", model)

    def _source(self, name: str, model: keras.Model) -> Source:
        folder = Path(tempfile.mkdtemp(dir=self._work))
        return Source(name, model, self.same, folder, self._calibrates)

    def __iter__(self) -> Iterator[Source]:
        """Yield the given model, and smaller ones if `compact` can make them."""
        yield self.given
        model = self.given.model
        found = {model.count_params()}
        for name, multiple in self._compact.items():
            try:
                smaller = compact(model, round_to=multiple)
            except (ValueError, TypeError) as error:
                text = str(error).partition("\n")[0]
                self.notes.append(f"No compact files were tried: {text}")
                return
            if smaller.count_params() not in found:
                found.add(smaller.count_params())
                yield self._source(name, smaller)


def _tried(
    sources: Sources,
    kinds: Sequence[Candidate],
    trial: Trial,
    show: Callable[[str, int, int], None],
) -> list[Tried]:
    """Return what was found out about each file, but for its time."""
    pairs, found = [(kind, source) for source in sources for kind in kinds], []
    for number, (kind, source) in enumerate(pairs):
        show(name_of(kind, source), number, len(pairs) + 1)
        found.append(trial(kind, source))
        if kind is kinds[-1]:
            source.made.clear()  # they are on the disk
    show("timing", len(pairs), len(pairs) + 1)
    return found


def timed(
    tried: list[Tried], max_loss: float, rounds: int, runtimes: int | None = None
) -> list[Tried]:
    """Return the files with their times, if they may still be chosen.

    All of them take turns in their runtimes. They get one row, or as many as they must
    get.

    Args:
        tried: The files.
        max_loss: What the metric may lose.
        rounds: Number of turns.
        runtimes: Number of runtimes of each file, from the first one on; None for all.
    """
    keys = [
        (number, place)
        for number, each in enumerate(tried)
        if not judged_by_loss(each.row, max_loss).verdict
        for place, run in enumerate(each.row.runs[:runtimes])
        if not run.fault
    ]
    largest = max((tried[number].row.size for number, _ in keys), default=1)

    # What was used last stays loaded. The first run of a turn, which loads a file that
    # had to make room, is not timed.
    @functools.lru_cache(max(1, int(MEMORY // largest)))
    def loaded(key: tuple[int, int]) -> Callable[[], dict]:
        number, place = key
        return _once(tried[number], tried[number].candidate.runtimes[place])

    def run(key: tuple[int, int]) -> dict:
        return loaded(key)()

    measured = times([functools.partial(run, key) for key in keys], rounds)
    found = dict(zip(keys, measured, strict=True))
    return [
        dataclasses.replace(each, row=_with_times(each, number, found))
        for number, each in enumerate(tried)
    ]


def _once(tried: Tried, runtime: Runtime) -> Callable[[], dict]:
    """Return a function that runs a file once, on the first rows."""
    same = tried.source.same
    with converter.stderr_to_log():
        run = runtime.load(cast(Path, tried.path), same, True)
    rows = np.arange(same.file_batch or 1)
    batch = {name: array[rows % len(array)] for name, array in same.inputs.items()}
    return lambda: run(batch)


def _with_times(tried: Tried, number: int, found: dict[tuple[int, int], Times]) -> Row:
    """Return a row with the milliseconds of one input in each runtime."""
    runs: list[Run] = []
    rows = tried.source.same.file_batch or 1
    for place, run in enumerate(tried.row.runs):
        if (number, place) in found:
            median, low, high = (each / rows for each in found[number, place])
            run = dataclasses.replace(run, milliseconds=median, low=low, high=high)
        runs.append(run)
    return dataclasses.replace(tried.row, runs=tuple(runs))


def _keep(tried: Sequence[Tried], chosen: Sequence[Row], folder: Path) -> None:
    """Move the best file to a folder."""
    best = next(number for number, row in enumerate(chosen) if row.verdict == BEST)
    # A file that was timed is there.
    cast(Path, tried[best].path).replace(folder / chosen[best].file)


def _versions(kinds: Sequence[Candidate]) -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    found = {}
    for name in dict.fromkeys([*LIBRARIES, *(n for k in kinds for n in k.libraries)]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
