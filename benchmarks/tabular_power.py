"""Would more seeds or more tables make IUNet's lead on tables clear?

    python benchmarks/tabular_power.py [--results docs/results/tabular-small]

This trains nothing. It reads the finished runs of the recipe "tabular-small". Each
table's lead is a mean over its seeds. It computes the share of the leads' variance that
is due to the seeds. It also draws tables with replacement from the measured ones, and
counts how often Wilcoxon's signed-rank test finds a p below 0.05.
"""

import argparse
from pathlib import Path

import numpy as np
from ledger import mean_and_spread
from scipy.stats import wilcoxon

from keras_invprune_lab.recipes.recipe import load
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.runs.ledger import collect, unpack

FIRST, OTHERS = "iunet", {"dense": "dense", "omp": "OMP", "xgboost": "XGBoost"}
COUNTS = 12, 16, 40  # tables: measured so far, in the recipe, in the paper
DRAWS, LEVEL = 2000, 0.05


def leads(found, other, seeds):
    """Return ``{data set: leads in points, one per seed}`` for those with all seeds."""
    values = {}
    for _, report in found:
        config = report["config"]
        if config["method"] in (FIRST, other):
            place = config["dataset"], config["seed"]
            share = report["test"]["balanced_accuracy"]
            values.setdefault(place, {})[config["method"]] = 100 * share
    rows = {}
    for (dataset, _), pair in values.items():
        if len(pair) == 2:
            rows.setdefault(dataset, []).append(pair[FIRST] - pair[other])
    return {name: np.array(row) for name, row in rows.items() if len(row) == seeds}


def power(means, count, generator):
    """Return the share of draws of `count` tables with Wilcoxon's p below `LEVEL`."""
    draws = generator.choice(means, size=(DRAWS, count))
    return np.mean(wilcoxon(draws, axis=1, method="asymptotic").pvalue < LEVEL)


def row(name, table, generator):
    """Return the line of one opponent."""
    means = np.array([row.mean() for row in table.values()])
    errors = np.mean([row.var(ddof=1) / len(row) for row in table.values()])
    cells = [
        f"{means.mean():+.2f}",
        f"{np.median(means):+.2f}",
        f"{wilcoxon(means).pvalue:.3f}",
        f"{means.std(ddof=1):.2f}",
        f"{100 * errors / means.var(ddof=1):.0f} %",
        *(f"{100 * power(means, n, generator):.0f} %" for n in COUNTS),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def page(found, seeds, command):
    """Return the Markdown page."""
    generator = np.random.default_rng(0)
    tables = {name: leads(found, key, seeds) for key, name in OTHERS.items()}
    counts = " | ".join(f"p < {LEVEL} with {n} tables" for n in COUNTS)
    lines = [
        "# What would make the lead on tables clear",
        "",
        f"`{command}`. IUNet's lead in points of balanced accuracy on the test part, "
        f"{len(next(iter(tables.values())))} tables with {seeds} seeds each; spread: "
        "standard deviation of the tables' leads; of the seeds: their share of its "
        f"square. The last columns: of {DRAWS} draws with replacement from these "
        "tables, how many Wilcoxon's signed-rank test finds, not corrected for the "
        "number of comparisons.",
        "",
        f"| against | mean | median | p | spread | of the seeds | {counts} |",
        "|---|" + "---:|" * (5 + len(COUNTS)),
        *(row(name, table, generator) for name, table in tables.items()),
        "",
        "| table | " + " | ".join(f"{name} | standard error" for name in tables) + " |",
        "|---|" + "---:|" * 2 * len(tables),
    ]
    for name in next(iter(tables.values())):
        cells = [name.partition(":")[2]]
        for table in tables.values():
            cells += mean_and_spread(table[name], "+.2f", standard_error=True)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Means over the seeds."]) + "\n"


def main():
    """Read the runs; print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default="docs/results/tabular-small")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    recipe = load("tabular-small")
    unpack(given.results)
    found = collect(expand(recipe), given.results)
    text = page(found, len(recipe.seeds), "python benchmarks/tabular_power.py")
    print(text)
    (given.out / "tabular_power.md").write_text(text)


if __name__ == "__main__":
    main()
