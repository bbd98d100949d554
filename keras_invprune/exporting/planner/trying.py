"""Makes a file, runs it in all of its runtimes and measures it, but for its time."""

import dataclasses
import hashlib
import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keras_invprune.exporting import converter
from keras_invprune.exporting.errors import ExportError, raise_if_disk_is_full
from keras_invprune.exporting.planner.candidates import Candidate, NotTried, Source
from keras_invprune.exporting.planner.loss import Loss
from keras_invprune.exporting.planner.row import (
    INACCURATE,
    NOT_MADE,
    NOT_RUN,
    NOT_TRIED,
    SAME,
    WRONG,
    Row,
    Run,
)
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.sizes import contents_of, sizes
from keras_invprune.exporting.verify import Differs, Random
from keras_invprune.exporting.ways_out import reason

ZSTD_LEVEL = 19


@dataclasses.dataclass(frozen=True)
class Tried:
    """A file that was made, or the reason why not.

    Attributes:
        row: What was found out so far.
        candidate: What kind of file it is.
        source: What it was made of.
        path: Where it is; None if there is none.
    """

    row: Row
    candidate: Candidate
    source: Source
    path: Path | None = None


def attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return what a call returns, and any error; output of C++ is not shown.

    Raises:
        OSError: If the disk is full.
    """
    with converter.stderr_to_log():
        try:
            return call(), None
        except Exception as error:  # converters and runtimes may raise anything
            raise_if_disk_is_full(error)
            return None, error


class Trial:
    """Tries files of one model, each content only once.

    Args:
        work: Folder for the files.
        tolerance: Largest difference of float32 files, as a share of the largest
            output.
        loss: The metric.
        sandbox: Where files run that may end their process.
    """

    def __init__(self, work: Path, tolerance: float, loss: Loss, sandbox: Sandbox):
        self._work, self._tolerance, self._loss = work, tolerance, loss
        self._sandbox = sandbox
        self._seen: dict[str, str] = {}

    def __call__(self, candidate: Candidate, source: Source) -> Tried:
        """Return what was found out about a file of a source.

        Raises:
            ExportError: If the Keras model gives different outputs each time.
            OSError: If the disk is full.
        """
        name = name_of(candidate, source)
        uses_zeros = candidate.uses_zeros or bool(source.name)
        row = Row(name, candidate.file, uses_zeros=uses_zeros)
        made, error = attempt(lambda: candidate.make(source))
        if isinstance(error, NotTried):
            return Tried(row.dropped(NOT_TRIED, str(error)), candidate, source)
        if error is not None:
            text = _reason(candidate, error)
            return Tried(row.dropped(NOT_MADE, text), candidate, source)
        if isinstance(made, bytes):
            digest = hashlib.sha256(made).hexdigest()
            if digest in self._seen:
                twin = f"has the bytes of {self._seen[digest]!r}"
                return Tried(row.dropped(SAME, twin), candidate, source)
            path = self._work / digest
            path.write_bytes(made)
            self._seen[digest] = name
        else:
            path = made
        row = dataclasses.replace(row, **_sizes(path))
        row = self._run(row, candidate, source, path)
        _, error = attempt(self._sandbox.unload)
        if error is not None and not row.verdict:
            row = row.dropped(NOT_RUN, str(error))
        return Tried(row, candidate, source, path)

    def _run(self, row: Row, candidate: Candidate, source: Source, path: Path) -> Row:
        """Return the row with differences and metric, or a verdict."""
        same, tolerance = source.same, max(self._tolerance, candidate.rounding)
        runs = []
        for runtime in candidate.runtimes:

            def compare(runtime: Runtime = runtime) -> dict[str, Any]:
                run = runtime.try_out(path, same, self._sandbox)
                return same(run, tolerance, runtime.batch(same))

            entry, error = attempt(compare)
            if isinstance(error, Random):
                raise ExportError(f"Nothing was written, because {error}.") from error
            if isinstance(error, NotTried):
                return row.dropped(NOT_TRIED, str(error))
            if isinstance(error, Differs):
                return row.dropped(WRONG, f"{runtime.name}: {error}")
            if error is not None and runtime.needed:
                fault = f"{runtime.name}: {_reason(candidate, error)}"
                return row.dropped(NOT_RUN, fault)
            if error is not None:
                runs.append(Run(runtime.name, fault=_reason(candidate, error)))
            else:
                runs.append(Run(runtime.name, max_abs_error=entry["max_abs_error"]))
        first = candidate.runtimes[0]

        def run_all() -> Any:
            run = first.try_out(path, same, self._sandbox)
            return self._loss.outputs(run, first.batch(same))

        outputs, error = attempt(run_all)
        if error is not None:  # in rows that were not compared
            verdict = WRONG if isinstance(error, Differs) else NOT_RUN
            return row.dropped(verdict, f"{first.name}: {_reason(candidate, error)}")
        score, error = attempt(lambda: self._loss(outputs))
        if error is not None:  # but not for Keras's outputs
            return row.dropped(INACCURATE, str(error).rstrip("."))
        loss = self._loss.keras - score
        return dataclasses.replace(row, runs=tuple(runs), score=score, loss=loss)


def name_of(candidate: Candidate, source: Source) -> str:
    """Return the name of a file of a source."""
    return f"{source.name}, {candidate.name}" if source.name else candidate.name


def _reason(candidate: Candidate, error: Exception) -> str:
    return reason(candidate.file, error)


def _sizes(path: Path) -> dict[str, Any]:
    """Return the bytes of a file or folder, and those after compression."""
    contents = contents_of(path)
    return {**sizes(contents), "zstd_bytes": _zstd_bytes(contents)}


def _zstd_bytes(contents: Iterable[bytes]) -> int | None:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        return None
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return sum(len(compressor.compress(each)) for each in contents)
