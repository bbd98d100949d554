"""The choice: from rows of figures to the best one, with a reason for each other.

Nothing here runs a file. Rows that already have a verdict are left as they are.
"""

import dataclasses
import math
from collections.abc import Sequence

from keras_invprune.exporting.planner.row import (
    BEST,
    INACCURATE,
    LARGER,
    OVER,
    SLOWER,
    Row,
    by_reason,
)
from keras_invprune.exporting.planner.target import FileBudget

ROUNDING = 1e-9  # by which a loss may exceed what is allowed
JUST_AS_FAST = 1.05  # times that differ by less are equal, whatever their spread
BY_BYTES = "size"  # the target for which bytes decide, and not milliseconds


class NothingLeftError(ValueError):
    """No row may be chosen; the message says why, and what is nearest."""


def choose(
    rows: Sequence[Row],
    target: str,
    max_loss: float,
    budget: FileBudget | None = None,
) -> tuple[Row, ...]:
    """Return the rows in their order: one is the best, the others have a reason.

    Args:
        rows: What was found out. Those with a verdict are out of the question.
        target: "size" for the smallest file, else the fastest. Of files whose median
            time is at most the upper quartile of the fastest one, or at most 5 % above
            its median, the smallest one is best.
        max_loss: What the metric may lose.
        budget: What the best file may cost, or None.

    Raises:
        NothingLeftError: If no row is left, or if none meets the budget.
    """
    judged = [judged_by_loss(row, max_loss) for row in rows]
    eligible = [row for row in judged if not row.verdict]
    if not eligible:
        raise NothingLeftError(f"No file can be kept. {'; '.join(by_reason(judged))}")
    affordable = [row for row in eligible if _excess(row, budget) <= 1]
    if budget and not affordable:
        raise NothingLeftError(_nearest(eligible, budget))
    limit = _limit(affordable, target)
    equal = [row for row in affordable if row.milliseconds <= limit]
    best = min(equal, key=lambda row: (row.size, row.milliseconds))
    return tuple(
        row if row.verdict else _judged_by_best(row, best, limit, budget)
        for row in judged
    )


def judged_by_loss(row: Row, max_loss: float) -> Row:
    """Return the row, dropped if its metric loses more than allowed."""
    if row.verdict or row.loss is None or row.loss <= max_loss + ROUNDING:
        return row
    lost = f"loses {row.loss:.4g}, allowed {max_loss:.4g}"
    return row.dropped(INACCURATE, lost)


def _excess(row: Row, budget: FileBudget | None) -> float:
    return budget.excess(row.size, row.milliseconds) if budget else 0.0


def _limit(rows: Sequence[Row], target: str) -> float:
    """Return the milliseconds up to which only bytes decide.

    A limit on medians: of two rows, the larger and slower one is never best.
    """
    if target == BY_BYTES:
        return math.inf
    quickest = min(rows, key=lambda row: (row.milliseconds, row.high))
    return max(JUST_AS_FAST * quickest.milliseconds, quickest.high)


def _judged_by_best(
    row: Row, best: Row, limit: float, budget: FileBudget | None
) -> Row:
    if row is best:
        return dataclasses.replace(row, verdict=BEST, reason="")
    if budget and _excess(row, budget) > 1:
        return row.dropped(OVER, _costs(row, budget))
    if row.size > best.size and row.milliseconds <= limit:
        return row.dropped(LARGER, f"{_ratio(row.size, best.size)} times the bytes")
    times = _ratio(row.milliseconds, best.milliseconds)
    return row.dropped(SLOWER, f"{times} times the milliseconds")


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.3g}"


def _costs(row: Row, budget: FileBudget) -> str:
    """Return what a row costs, next to the limits of a budget."""
    parts = []
    if budget.bytes is not None:
        parts.append(f"{row.size:,} of {budget.bytes:,.0f} bytes")
    if budget.milliseconds is not None:
        parts.append(f"{row.milliseconds:.3g} of {budget.milliseconds:.3g} ms")
    return ", ".join(parts)


def _nearest(rows: Sequence[Row], budget: FileBudget) -> str:
    nearest = min(rows, key=lambda row: _excess(row, budget))
    return (
        f"No file meets the budget. The nearest is {nearest.name!r}: "
        f"{_costs(nearest, budget)}. Allow more, or prune further"
    )
