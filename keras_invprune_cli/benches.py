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
from rich.table import Table

from keras_invprune_cli.tables import console


@contextlib.contextmanager
def bench_progress(jobs):
    """Yields ``show(name, done, total)``: a bar for all runs, one for each at work."""
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=600) as bars:
        units = {job.name: _cost(job) for job in jobs}
        whole = bars.add_task("all runs", total=sum(units.values()), unit="epochs")
        tasks, shares = {}, {}

        def show(name, done, total):
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, unit="epochs")
            bars.update(tasks[name], completed=done, total=total)
            shares[name] = units.get(name, 0) * done / total
            bars.update(whole, completed=sum(shares.values()))
            if done == total:
                bars.remove_task(tasks[name])

        yield show


def _cost(job) -> int:
    """Epochs; two views take as long as two."""
    searching = job.method == "search" and job.objective == "invariance"
    return job.epochs * (2 if searching else 1)


def print_recipes():
    """Prints the recipes that come with the package."""
    from keras_invprune.experiments.bench.jobs import expand
    from keras_invprune.experiments.bench.recipe import load, names

    table = Table("recipe", "", "runs")
    for name in names():
        recipe = load(name)
        table.add_row(name, recipe.title, str(len(expand(recipe))))
    console.print(table)
    console.print("keras-invprune bench NAME carries one out.")


def print_bench(benchmark, failures):
    """Prints the page of a benchmark, what failed, and where the rest is."""
    page = benchmark.out / "table.md"
    if page.exists():
        text = page.read_text()
        for pictures in ("\n## Plots", "\n## First-layer filters"):
            text = text.split(pictures)[0]
        console.print(Markdown(text))
    for name, message in failures.items():
        console.print(f"failed: {name}: {message}", style="red", markup=False)
    left = len(benchmark.missing())
    if left:
        console.print(f"{left} runs are not finished; the same command goes on.")
    console.print(f"Tables, plots and runs.jsonl: {benchmark.out}/")
    console.print(f"tensorboard --logdir {benchmark.out}/tensorboard")
