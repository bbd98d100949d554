"""The table of all files as text."""

from collections.abc import Sequence

from keras_invprune.exporting.planner.row import BEST, Row

UNKNOWN = "-"


def table(rows: Sequence[Row], metric: str) -> str:
    """Return a line for each file, the best one first, then by size.

    Args:
        rows: What was found out about each file.
        metric: Name of the metric.
    """
    heading = ["file", "bytes", "gzip", "zstd", "ms", "± ms", metric, "", "why"]
    order = sorted(rows, key=lambda row: (row.verdict != BEST, row.size))
    cells = [heading, *map(_cells, order)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(line, widths) for line in cells)


def _cells(row) -> list[str]:
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


def _number(value, form) -> str:
    return UNKNOWN if value is None else format(value, form)


def _line(cells, widths) -> str:
    """Return a line: the first cell and the last two to the left, numbers right."""
    last = len(cells) - 2
    padded = [
        cell.rjust(width) if 0 < number < last else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
