"""The table of all files as text."""

from collections.abc import Sequence

from keras_invprune.exporting.planner.row import BEST, Row, by_reason

UNKNOWN = "-"


def table(rows: Sequence[Row], metric: str) -> str:
    """Return a line for each file, the best one first, then by size.

    Below are those without a size, not made or the same as another, by reason.

    Args:
        rows: What was found out about each file.
        metric: Name of the metric.
    """
    heading = ["file", "bytes", "gzip", "zstd", "ms", "± ms", metric, "", "why"]
    made = [row for row in rows if row.bytes is not None]
    order = sorted(made, key=lambda row: (row.verdict != BEST, row.size))
    last = len(heading) - 1
    lines = columns([heading, *map(_cells, order)], texts=(0, last - 1, last))
    others = by_reason(row for row in rows if row.bytes is None)
    return "\n".join([lines, *([""] if others else []), *others])


def columns(cells: Sequence[Sequence[str]], texts: Sequence[int]) -> str:
    """Return lines of aligned cells.

    Args:
        cells: The cells of each line.
        texts: Numbers of the columns that are aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number in texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: Row) -> list[str]:
    timed = row.runs and row.runs[0].milliseconds is not None
    return [
        row.name,
        _number(row.bytes, ","),
        _number(row.gzip_bytes, ","),
        _number(row.zstd_bytes, ","),
        f"{row.milliseconds:.4f}" if timed else UNKNOWN,
        f"{(row.high - row.low) / 2:.4f}" if timed else UNKNOWN,
        _number(row.score, ".4f"),
        row.verdict,
        row.reason,
    ]


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)
