"""What `keras-invprune structure search` prints."""

from pathlib import Path

from rich.markdown import Markdown
from rich.table import Table

from keras_invprune_lab.cli.benches import narrowed
from keras_invprune_lab.cli.tables import console


def print_searches():
    """Print the recipes of searches that come with the package."""
    from keras_invprune_lab.structure.search.recipe import load, names

    table = Table("recipe", "", "searches")
    for name in names():
        recipe = load(name)
        count = len(recipe.strategies) * len(recipe.seeds)
        table.add_row(name, recipe.title, str(count))
    console.print(table)
    console.print("keras-invprune structure search NAME carries one out.")


def print_found(page: str, fronts: list[dict], out: Path):
    """Print the table of the strategies, and the most accurate graph of each front.

    Args:
        page: Markdown.
        fronts: The rows of ``fronts.csv``.
        out: The folder of the results.
    """
    console.print(Markdown(narrowed(page, console.width)))
    table = Table("search", "graph", "MACs", "validation, %", "test, %", title="Best")
    best = {(row["strategy"], row["seed"]): row for row in fronts}  # the last one wins
    for (strategy, seed), row in best.items():
        figures = f"{100 * row['accuracy']:.2f}", f"{100 * row['test_accuracy']:.2f}"
        search = f"{strategy}, seed {seed}"
        table.add_row(search, row["graph"], f"{row['macs']:,}", *figures)
    console.print(table)
    console.print(f"Graphs, fronts, models and plots: {out}/")
