"""What `keras-invprune bench` prints."""

from rich.markdown import Markdown
from rich.table import Table

from keras_invprune_lab.bench.page import by_message
from keras_invprune_lab.cli.tables import console


def print_recipes():
    """Print the recipes that come with the package."""
    from keras_invprune_lab.recipes.recipe import load, names
    from keras_invprune_lab.runs.jobs import expand

    table = Table("recipe", "", "runs")
    for name in names():
        recipe = load(name)
        table.add_row(name, recipe.title, str(len(expand(recipe))))
    console.print(table)
    console.print("keras-invprune bench NAME carries one out.")


def narrowed(text, width) -> str:
    """Return Markdown whose tables fit: a wide one becomes one for each row.

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
    """Return a table for each row: the first cell as heading, the others as rows."""
    (_, *columns), _, *rows = lines
    tables = []
    for name, *values in rows:
        pairs = [(c, v) for c, v in zip(columns, values, strict=True) if v]
        body = [f"| {column} | {value} |" for column, value in pairs]
        tables.append("\n".join([f"| {name} | |", "|---|---:|", *body]))
    return "\n\n".join(tables)


def print_bench(benchmark):
    """Print the page of a benchmark, what failed, and where the rest is."""
    page, failures = benchmark.out / "table.md", benchmark.failures()
    if page.exists():
        text, _, _ = page.read_text().partition("\n## Failed")
        console.print(Markdown(narrowed(text, console.width)))
    for names, message in by_message(failures):
        console.print(f"failed: {names}: {message}", style="red", markup=False)
    left = len(benchmark.missing())
    if left:
        first = "once the faults are fixed, " if failures else ""
        console.print(f"{left} runs are not finished; {first}the same command resumes.")
    if page.exists():
        console.print(f"Tables, plots and runs.jsonl: {benchmark.out}/")
        console.print(f"tensorboard --logdir {benchmark.out}/tensorboard")
