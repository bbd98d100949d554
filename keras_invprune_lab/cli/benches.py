"""What `keras-invprune bench` prints."""

import contextlib

from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from keras_invprune_lab.bench.page import by_message
from keras_invprune_lab.cli.tables import console


@contextlib.contextmanager
def bench_progress(jobs):
    """Yields ``show(name, done, total)``: a bar for all runs, one for each at work."""
    columns = (  # what is narrow stays whole, a long name takes several lines
        TextColumn("{task.description}", table_column=Column(ratio=1, overflow="fold")),
        BarColumn(bar_width=10),
        *(
            TextColumn(text, justify="right", table_column=Column(no_wrap=True))
            for text in ("{task.percentage:.0f}%", "{task.fields[epochs]}")
        ),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )
    with Progress(
        *columns, console=console, speed_estimate_period=600, expand=True
    ) as bars:
        costs = {job.name: job.cost for job in jobs}
        everything = sum(costs.values())
        whole = bars.add_task("all runs", total=everything, epochs="")
        tasks, begun, shares = {}, {}, {}

        def cost(shares):
            return sum(costs[name] * share for name, share in shares.items())

        def show(name, done, total):
            if name not in tasks:
                tasks[name] = bars.add_task(name, epochs="")
                # What an earlier command did says nothing of this one's speed.
                begun.setdefault(name, done / total)
            epochs = f"{done:.0f}/{total:.0f} epochs"
            bars.update(tasks[name], completed=done, total=total, epochs=epochs)
            shares[name] = done / total - begun[name]
            left = everything - cost(begun)
            bars.update(whole, completed=cost(shares), total=left)
            if done == total:
                bars.remove_task(tasks.pop(name))

        yield show


def print_recipes():
    """Prints the recipes that come with the package."""
    from keras_invprune_lab.recipes.recipe import load, names
    from keras_invprune_lab.runs.jobs import expand

    table = Table("recipe", "", "runs")
    for name in names():
        recipe = load(name)
        table.add_row(name, recipe.title, str(len(expand(recipe))))
    console.print(table)
    console.print("keras-invprune bench NAME carries one out.")


def narrowed(text, width) -> str:
    """Markdown whose tables fit: one that is too wide becomes one for each row.

    Args:
        text: Markdown; its tables have a heading, a line of dashes, and rows.
        width: Characters in a line.
    """
    parts = []
    for block in text.split("\n\n"):
        lines = [_cells(line) for line in block.splitlines() if line.startswith("|")]
        widest = sum(max(map(len, column)) + 3 for column in zip(*lines, strict=False))
        parts.append(_by_row(lines) if widest > width else block)
    return "\n\n".join(parts)


def _cells(line) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _by_row(lines) -> str:
    """A table for each row: its first cell as the heading, the others as rows."""
    (_, *columns), _, *rows = lines
    tables = []
    for name, *values in rows:
        pairs = [(c, v) for c, v in zip(columns, values, strict=True) if v]
        body = [f"| {column} | {value} |" for column, value in pairs]
        tables.append("\n".join([f"| {name} | |", "|---|---:|", *body]))
    return "\n\n".join(tables)


def print_bench(benchmark):
    """Prints the page of a benchmark, what failed, and where the rest is."""
    page, failures = benchmark.out / "table.md", benchmark.failures()
    if page.exists():
        text = page.read_text()
        for part in ("\n## Failed", "\n## Plots"):
            text = text.split(part)[0]
        console.print(Markdown(narrowed(text, console.width)))
    for names, message in by_message(failures):
        console.print(f"failed: {names}: {message}", style="red", markup=False)
    left = len(benchmark.missing())
    if left:
        first = "when the faults are mended, " if failures else ""
        console.print(f"{left} runs are not finished; {first}the same command goes on.")
    if page.exists():
        console.print(f"Tables, plots and runs.jsonl: {benchmark.out}/")
        console.print(f"tensorboard --logdir {benchmark.out}/tensorboard")
