"""The result of a planned export: all figures, and what they mean for pruning."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from keras_invprune.exporting.planner.choice import (
    JUST_AS_FAST,
    NothingLeftError,
    choose,
)
from keras_invprune.exporting.planner.row import BEST, Row
from keras_invprune.exporting.planner.table import table
from keras_invprune.exporting.planner.target import FileBudget

SCHEMA = "keras_invprune/planned/1"


@dataclasses.dataclass(frozen=True)
class Planned:
    """The best file of a model, and why all others were dropped. Prints as a table.

    Attributes:
        target: Name of the target.
        max_loss: What the metric was allowed to lose.
        budget: ``{"bytes": ..., "milliseconds": ...}``, or None.
        metric: "accuracy", "R²", "agreement" (with Keras) or "metric" (the user's).
        keras: The metric of the Keras model.
        inputs: "given" or "random".
        rows: Number of rows on which the metric was measured.
        rounds: Number of turns in which the files were timed.
        processor: What they were timed on; "" if the system does not tell.
        batch_size: Number of rows that the file takes; None for any.
        renamed: ``{name of an input: its name in the file}``, if they differ.
        outputs_renamed: The same of the outputs.
        tolerance: Largest difference of float32 files, as a share of Keras's largest
            output. That of other number formats is larger.
        files: What was found out about each file.
        notes: What was decided for the user, in sentences.
        versions: ``{library: version}``.
        sha256: Checksum of each file; None for a folder.
    """

    target: str
    max_loss: float
    budget: dict[str, float | None] | None
    metric: str
    keras: float
    inputs: str
    rows: int
    rounds: int
    processor: str
    batch_size: int | None
    renamed: dict[str, str]
    outputs_renamed: dict[str, str]
    tolerance: float
    files: tuple[Row, ...]
    notes: tuple[str, ...]
    versions: dict[str, str]
    sha256: dict[str, str | None]

    @property
    def best(self) -> Row:
        """The file that was kept."""
        return next(row for row in self.files if row.verdict == BEST)

    def to_json(self) -> dict[str, Any]:
        """Return what ``report.json`` holds."""
        files = [row.to_json() for row in self.files]
        found = dataclasses.asdict(self) | {"files": files, "notes": list(self.notes)}
        return {"schema": SCHEMA, **found}

    def __str__(self) -> str:
        """Return the table of all files, and the notes."""
        heading = (
            f"Target {self.target!r}, at most {self.max_loss:g} {self.metric} lost"
        )
        reference = f"Keras has {self.metric} {self.keras:.4f}."
        lines = [heading, reference, "", table(self.files, self.metric), ""]
        return "\n".join([*lines, self._best_runs(), *self.notes]) + "\n"

    def _best_runs(self) -> str:
        """Return the times of the best file in all runtimes, in a sentence."""
        runs = [
            f"{run.runtime}: {run.fault or f'{run.milliseconds:.4f} ms'}"
            for run in self.best.runs
        ]
        return f"The best file in each runtime: {'; '.join(runs)}."


def what_pruning_brings(
    rows: tuple[Row, ...], target: str, max_loss: float, budget: FileBudget | None
) -> str:
    """Return in a sentence what the best file gains from zeros and removed units.

    A gain of up to 5 % of bytes and of milliseconds is hardly one.
    """
    best = next(row for row in rows if row.verdict == BEST)
    other = _best_of(rows, not best.uses_zeros, target, max_loss, budget)
    if not best.uses_zeros:
        made = any(row.uses_zeros and row.bytes is not None for row in rows)
        found = f"no file that does {'may be kept' if made else 'was made'}"
        if other is not None:
            found = _costs(other)
        return (
            f"Pruning does not help here: {best.name!r} does not use the zeros of the "
            f"model, and {found}."
        )
    if other is None:
        return f"Pruning helps: no file with all weights meets what {best.name!r} does."
    gains = other.size / best.size, other.milliseconds / best.milliseconds
    helps = "helps" if max(gains) > JUST_AS_FAST else "hardly helps"
    return (
        f"Pruning {helps}: with all weights, {_costs(other)}, and {best.name!r} takes "
        f"{best.size:,} bytes and {best.milliseconds:.3g} ms."
    )


def _best_of(
    rows: Iterable[Row],
    uses_zeros: bool,
    target: str,
    max_loss: float,
    budget: FileBudget | None,
) -> Row | None:
    """Return the best of the files that use zeros, or of those that do not."""
    measured = [row for row in rows if row.uses_zeros == uses_zeros and row.is_right]
    open_again = [dataclasses.replace(row, verdict="") for row in measured]
    try:
        found = choose(open_again, target, max_loss, budget)
    except NothingLeftError:
        return None
    return next(row for row in found if row.verdict == BEST)


def _costs(row: Row) -> str:
    return f"{row.name!r} takes {row.size:,} bytes and {row.milliseconds:.3g} ms"
