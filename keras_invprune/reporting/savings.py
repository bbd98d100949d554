"""What pruning can save on a model, found out before it is trained.

Size and speed of a file depend on where its zeros are, and not on the values of the
other weights. So the model gets drawn masks, and real files are made, run and timed.
"""

import dataclasses
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import keras

from keras_invprune.arguments import is_number, is_positive_integer
from keras_invprune.compaction import compact
from keras_invprune.contracts import PatternLike
from keras_invprune.exporting.batches import states_kept
from keras_invprune.exporting.checks import check_batch_size
from keras_invprune.exporting.errors import ExportError
from keras_invprune.exporting.planner.candidates import (
    CANDIDATES,
    TFLITE,
    Candidate,
)
from keras_invprune.exporting.planner.loss import Loss
from keras_invprune.exporting.planner.planning import Sources, timed
from keras_invprune.exporting.planner.row import NOT_TRIED, Row, by_reason
from keras_invprune.exporting.planner.table import columns
from keras_invprune.exporting.planner.target import TARGETS, show_nothing
from keras_invprune.exporting.planner.trying import Trial, Tried
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.timing import ROUNDS, processor
from keras_invprune.graph.weights import check_keras, check_plain
from keras_invprune.patterns import Block, Units
from keras_invprune.patterns import get as get_pattern
from keras_invprune.pruning.prune import prune, strip_pruning

SCHEMA = "keras_invprune/savings/1"
SHARES = (0.5, 0.8, 0.9, 0.95)
PATTERNS = ("unstructured", Block((4, 1)), "units")
NOTHING = "none"  # the name of no pattern
# Score and allocation: zeros spread evenly, and as unevenly as magnitudes of untrained
# weights put them, which says how far estimates are off.
EVEN, UNEVEN = ("random", "uniform"), ("magnitude", "global")
TOLERANCE = 1e-4  # of float32 files, as a share of the largest output

logger = logging.getLogger("keras_invprune")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What one kind of file would cost.

    Attributes:
        pattern: "none", "unstructured", "units", or the name of another pattern.
        sparsity: Share that is removed, of the prunable weights or of the units.
        file: The number format and what is done with zeros, as in `export`.
        bytes: Size of the file.
        milliseconds: Median time of one input, on one thread; None if it does not run.
        spread: Half of the distance between the quartiles of the times.
        fault: Why it cannot be used; "" if it can.
    """

    pattern: str
    sparsity: float
    file: str
    bytes: int
    milliseconds: float | None
    spread: float | None
    fault: str


@dataclasses.dataclass(frozen=True)
class Savings:
    """What patterns, shares, number formats and compaction can save. Prints as a table.

    Attributes:
        model: The model's name.
        error: How far sizes are off if zeros are spread unevenly over the layers: the
            largest relative difference, at the largest share. NaN if it is unknown.
        estimates: One for each kind of file. The first one is the dense float32 file.
        notes: Why kinds of files were never tried, in sentences.
        processor: What the files were timed on; "" if the system does not tell.
    """

    model: str
    error: float
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...] = ()
    processor: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the schema and the fields; the error is None if it is unknown."""
        found = dataclasses.asdict(self)
        found["error"] = None if math.isnan(self.error) else self.error
        lists = {name: list(found[name]) for name in ("estimates", "notes")}
        return {"schema": SCHEMA, **found, **lists}

    def __str__(self) -> str:
        """Return a line for each file, with its ratios to the dense one."""
        dense = self.estimates[0]
        heading = "pattern removed file bytes smaller ms ± faster".split()
        cells = [[*heading, ""], *(_cells(each, dense) for each in self.estimates)]
        lines = [columns(cells, texts=(0, 2, len(heading)))]
        if not math.isnan(self.error):
            lines += ["", f"Uneven zeros change sizes by up to {self.error:.0%}."]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines) + "\n"


def _cells(each: Estimate, dense: Estimate) -> list[str]:
    size = [f"{each.bytes:,}", f"{dense.bytes / each.bytes:.1f}x"]
    time = ["-"] * 3
    if each.milliseconds is not None and dense.milliseconds is not None:
        faster = dense.milliseconds / each.milliseconds
        time = [f"{each.milliseconds:.4f}", f"{each.spread:.4f}", f"{faster:.1f}x"]
    first = [each.pattern, f"{each.sparsity:.0%}", each.file]
    return [*first, *size, *time, each.fault]


class _Removal(NamedTuple):
    """What is removed from a copy of the model; a pattern of None is nothing."""

    name: str
    pattern: PatternLike | None
    share: float
    choices: tuple[str, str]  # score and allocation

    @classmethod
    def by(
        cls, pattern: str | PatternLike, share: float, choices: tuple[str, str]
    ) -> Self:
        """Return a removal by a pattern or its name."""
        name = pattern if isinstance(pattern, str) else repr(pattern)
        return cls(name, get_pattern(pattern), share, choices)

    @property
    def is_exact(self) -> bool:
        """Whether nothing of what is removed is left as zeros."""
        return self.pattern is None or isinstance(self.pattern, Units)


def estimate_savings(
    model: keras.Model,
    *,
    patterns: Sequence[str | PatternLike] = PATTERNS,
    shares: Sequence[float] = SHARES,
    target: str = "litert-cpu",
    batch_size: int | None = None,
    rounds: int = ROUNDS,
    show: Callable[[str, int, int], None] | None = None,
) -> Savings:
    """Return what pruning can save on a model and runtime, before it is trained.

    Each pattern removes each share of a copy, at random and evenly in all layers. Its
    files are made and run as by `export`, and timed in turns on one thread.
    Units are removed by `compact`, so that all number formats profit from them.

    The accuracy that remains is not estimated: train to find out.

    Args:
        model: A built, plain Keras 3 model. It is not changed, and need not be trained.
        patterns: Patterns as in `prune`.
        shares: The shares to remove, in (0, 1).
        target: Which files are made, as in `export`: "litert-cpu", "onnxruntime-cpu",
            "openvino-cpu" or "any".
        batch_size: Number of rows that the files take, as in `export`.
        rounds: How often each file is timed.
        show: ``(what, done, total)``, called while files are made.

    Raises:
        ExportError: If no file can be made of it.
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it is not built or carries masks, or if an argument is invalid.
    """
    _check(model, patterns, shares, target, batch_size, rounds)
    kinds = [each for each in CANDIDATES if target in each.targets]
    shares = [float(share) for share in shares]
    todo = [_Removal(NOTHING, None, 0.0, EVEN)]
    todo += [_Removal.by(p, s, EVEN) for p in patterns for s in shares]
    uneven = [_Removal.by(p, max(shares), UNEVEN) for p in patterns]
    todo += [each for each in uneven if not each.is_exact][:1]
    show = show or show_nothing
    tried: list[tuple[_Removal, Tried]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        states_kept(model),
        Sandbox() as sandbox,
    ):
        for number, removal in enumerate(todo):
            show(f"{removal.name} {removal.share:.0%}", number, len(todo) + 1)
            work = Path(folder) / str(number)
            work.mkdir()
            if (smaller := _removed(model, removal)) is not None:
                exact = removal.is_exact
                fitting = [each for each in kinds if each.uses_zeros != exact]
                found = _files(smaller, fitting, batch_size, work, sandbox)
                tried += [(removal, each) for each in found]
        show("timing", len(todo), len(todo) + 1)
        files = timed([each for _, each in tried], math.inf, rounds, runtimes=1)
    removals = [removal for removal, _ in tried]
    rows = [(r, each.row) for r, each in zip(removals, files, strict=True)]
    made = [(r, row) for r, row in rows if row.bytes is not None]
    if not made:
        raise ExportError(
            f"No file for {target!r} can be made from {model.name!r}: "
            f"{rows[0][1].reason}."
        )
    estimates = [_estimate(r, row) for r, row in made if r.choices == EVEN]
    notes = _never_tried([row for _, row in rows])
    return Savings(model.name, _error(made), tuple(estimates), notes, processor())


def _check(
    model: keras.Model,
    patterns: Sequence,
    shares: Sequence[float],
    target: str,
    batch_size: int | None,
    rounds: int,
) -> None:
    check_keras(model)
    check_plain(model, "kip.estimate_savings({})")
    if not (isinstance(patterns, Sequence) and patterns) or isinstance(patterns, str):
        raise ValueError(
            f"`patterns` must be a list of patterns. Received: patterns={patterns!r}."
        )
    if not (
        isinstance(shares, Sequence)
        and shares
        and all(is_number(share) and 0 < share < 1 for share in shares)
    ):
        raise ValueError(
            "`shares` must be a list of numbers in (0, 1). Received: "
            f"shares={shares!r}."
        )
    if target not in TARGETS:
        raise ValueError(
            f"`target` must be one of {TARGETS}. Received: target={target!r}."
        )
    check_batch_size(batch_size)
    if not is_positive_integer(rounds):
        raise ValueError(
            f"`rounds` must be an integer of at least 1. Received: rounds={rounds!r}."
        )


def _removed(model: keras.Model, removal: _Removal) -> keras.Model | None:
    """Return a copy without what is removed; None if the pattern does not fit."""
    if removal.pattern is None:
        return model
    score, allocation = removal.choices
    try:
        pruned = prune(
            model,
            removal.share,
            score=score,
            allocation=allocation,
            pattern=removal.pattern,
            schedule="manual",
        )
        pruned.prune_to(removal.share)
        found = strip_pruning(pruned)
        return compact(found) if removal.is_exact else found
    except ValueError as error:
        text = str(error).partition("\n")[0]
        logger.warning("%s is left out: %s", removal.name, text)
        return None


def _files(
    model: keras.Model,
    kinds: Sequence[Candidate],
    batch_size: int | None,
    work: Path,
    sandbox: Sandbox,
) -> Iterator[Tried]:
    """Yield the files of some kinds; all of them are run."""
    tflite = any(each.file == TFLITE for each in kinds)
    sources = Sources(model, None, None, batch_size, work, True, tflite)
    trial = Trial(work, TOLERANCE, Loss(sources.same, None, None), sandbox)
    for kind in kinds:
        yield trial(kind, sources.given)
    sources.given.made.clear()  # they are on the disk


def _estimate(removal: _Removal, row: Row) -> Estimate:
    return Estimate(
        pattern=removal.name,
        sparsity=removal.share,
        file=row.name,
        bytes=cast(int, row.bytes),
        milliseconds=row.milliseconds if row.is_right else None,
        spread=(row.high - row.low) / 2 if row.is_right else None,
        fault=f"{row.verdict}: {row.reason}" if row.verdict else "",
    )


def _never_tried(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return why kinds of files were never tried, in a sentence for each reason."""
    untried = {row.name: row for row in rows if row.verdict == NOT_TRIED}
    tried = {row.name for row in rows if row.verdict != NOT_TRIED}
    found = by_reason(row for name, row in untried.items() if name not in tried)
    return tuple(f"{line}." for line in found)


def _error(rows: list[tuple[_Removal, Row]]) -> float:
    """Return the largest relative difference of sizes by uneven zeros; NaN if none."""
    even = {(r.name, r.share, row.name): row for r, row in rows if r.choices == EVEN}
    pairs = [
        (row, even.get((r.name, r.share, row.name)))
        for r, row in rows
        if r.choices == UNEVEN
    ]
    found = [abs(one.size / other.size - 1) for one, other in pairs if other]
    return max(found, default=math.nan)
