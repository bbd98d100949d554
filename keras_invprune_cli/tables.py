"""What the commands print."""

import contextlib

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console()


@contextlib.contextmanager
def progress():
    """Yields ``show(task, done, total)``, which draws one bar per task."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} epochs"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def show(task, done, total):
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=done)

        yield show


def print_demo(report, out):
    """Prints the dense network beside the pruned one, and what to do next."""
    dense, pruned = report["dense"], report["pruned"]
    table = Table(title="Handwritten digits (scikit-learn), LiteRT on one thread")
    table.add_column("")
    table.add_column("dense", justify="right")
    table.add_column("pruned", justify="right")
    rows = [
        ("test accuracy", "test_accuracy", "{:.2%}"),
        ("zero weights (of the prunable)", "sparsity", "{:.1%}"),
        (".tflite, bytes", "tflite_bytes", "{:,}"),
        (".tflite gzipped, bytes", "tflite_gzip_bytes", "{:,}"),
        ("one image, ms (median)", "tflite_ms", "{:.4f}"),
    ]
    for label, key, pattern in rows:
        table.add_row(label, pattern.format(dense[key]), pattern.format(pruned[key]))
    for view in dense["consistency"]:
        values = (f"{model['consistency'][view]:.2%}" for model in (dense, pruned))
        table.add_row(f"same answer after {view}", *values)
    console.print(table)
    console.print(_ignored(pruned["inputs_used"]))
    console.print(f"Files, each run and compared with Keras, and report.json: {out}/")
    console.print(
        "Next: examples/quickstart.py has the five lines for your own model; "
        "README.md goes on from there.",
    )


def _ignored(used) -> str:
    """The share of connections left to each pixel, as a picture of characters."""
    highest = max(max(row) for row in used) or 1.0
    shades = " ░▒▓█"
    lines = ["Which pixels the pruned network still looks at (blank: ignored):"]
    for row in used:
        marks = (shades[0 if v == 0 else min(4, 1 + int(4 * v / highest))] for v in row)
        lines.append("  " + "".join(mark * 2 for mark in marks))
    return "\n".join(lines)
