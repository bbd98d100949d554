"""The page of a benchmark, in Markdown."""

from collections import defaultdict

import numpy as np

from keras_invprune_lab.bench.results import main_rows
from keras_invprune_lab.bench.setup_text import setting
from keras_invprune_lab.bench.statistics import (
    ENOUGH,
    by_seed,
    compare_all,
    rank,
    row_means,
)
from keras_invprune_lab.methods.base import METHODS


def markdown(recipe, table, reports, failures, command) -> str:
    """Return the page of a benchmark.

    Args:
        recipe: `Recipe`.
        table: `Table`.
        reports: All reports, whichever grid point was chosen.
        failures: ``{name of a run: message}``.
        command: What makes it again.
    """
    parts = [
        f"# {recipe.title}",
        f"`{command}`",
        setting(recipe, table, reports),
        _accuracies(recipe, table),
        _chosen(recipe, table),
        _comparisons(recipe, table),
        _reached(recipe, table),
        _consistency(recipe, table),
        _sizes(table),
        _collapsed(reports),
    ]
    if failures:
        lines = [f"- {names}: {message}" for names, message in by_message(failures)]
        parts.append("## Failed\n\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def by_message(failures) -> list[tuple[str, str]]:
    """Return pairs (runs, message): runs that failed for one reason stand together."""
    groups = defaultdict(list)
    for name, message in failures.items():
        groups[message].append(name)
    return [
        (names[0] + (f" and {len(names) - 1} more" if names[1:] else ""), message)
        for message, names in groups.items()
    ]


def _title(method) -> str:
    return METHODS[method].title


def _grid(header, rows) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _place(row) -> str:
    dataset, compression = row
    return f"{dataset}, ×{compression:g}" if compression else dataset


def _accuracies(recipe, table) -> str:
    figure = recipe.select
    published = recipe.published
    columns = list(dict.fromkeys(n for row in published.values() for n in row))
    header = ["", *map(_title, table.methods), *(f"{n} (published)" for n in columns)]
    rows = []
    for row in table.rows:
        means = row_means(table, figure, row)
        best = [m for m, mean in means.items() if mean == max(means.values())]
        known = published.get(row[0], {})
        found = {m: table.cells.get((row, m)) for m in table.methods}
        values = [_mean(cell, figure, m in best) for m, cell in found.items()]
        values += [f"{known[n]:.1f}" if n in known else "" for n in columns]
        rows.append([_place(row), *values])
    places = main_rows(table, recipe.compressions[0])
    ranks, count, p = rank(table, figure, places)
    if count > 1:
        names = [f"{ranks[m]:.2f}" for m in table.methods]
        rows.append([f"mean rank, {count} data sets", *names, *[""] * len(columns)])
    name = figure.replace("_", " ")
    seeds = sorted({s for cell in table.cells.values() for s in cell.reports})
    kind = "Mean over seeds" if len(seeds) > 1 else "Seed"
    text = (
        f"{kind} {', '.join(map(str, seeds))}; bold: the best over the seeds that all "
        "methods have. "
        f"{_about_ranks(count, len(places), p)}"
    )
    parts = [f"## Test {name}, %", _grid(header, rows), text]
    return "\n\n".join([*parts, *_spreads(table, figure, len(seeds))])


def _spreads(table, figure, seeds) -> list[str]:
    """Return the spread over seeds, and the number of seeds where some are missing."""
    parts = []
    if any(cell.spread(figure) is not None for cell in table.cells.values()):

        def spread(cell):
            found = cell.spread(figure)
            return "" if found is None else f"{found:.2f}"

        parts += ["### Standard deviation over seeds, points", _each(table, spread)]
    if any(len(cell.reports) < seeds for cell in table.cells.values()):
        parts += ["### Number of seeds", _each(table, lambda cell: len(cell.reports))]
    return parts


def _each(table, shown) -> str:
    """Return a table with what `shown` returns of each cell."""
    rows = []
    for row in table.rows:
        found = [table.cells.get((row, method)) for method in table.methods]
        values = ["" if cell is None else shown(cell) for cell in found]
        rows.append([_place(row), *values])
    return _grid(["", *map(_title, table.methods)], rows)


def _about_ranks(count, datasets, p) -> str:
    """Say what ranks and tests are over, or why there are none."""
    if datasets == 1:
        return "No ranks and no test: they compare data sets, and there is only one."
    if count < 2:
        return "No mean ranks: they need data sets that have all methods."
    text = "Ranks: over the seeds that all methods have."
    if p is not None:
        return f"{text} Friedman's test that all rank alike: p = {p:.2g}."
    if count < ENOUGH:
        return f"{text} No test: it needs {ENOUGH} data sets."
    return text


def _chosen(recipe, table) -> str:
    """Return κ and λ, where there were several to choose from."""
    lines = []
    for (row, method), cell in table.cells.items():
        kappa = f"{cell.kappa:g}" if len(recipe.kappas) > 1 and cell.kappa < 1 else ""
        penalty = f"{cell.penalty:g}" if cell.penalty else ""
        if kappa or penalty:
            lines.append([_place(row), _title(method), kappa, penalty])
    if not lines:
        return ""
    header = ["", "method", "κ", "strength"]
    return f"## Chosen on validation rows\n\n{_grid(header, lines)}"


def _mean(cell, figure, best) -> str:
    if cell is None:
        return ""
    text = f"{cell.mean(figure):.2f}"
    return f"**{text}**" if best else text


def _comparisons(recipe, table) -> str:
    compression = recipe.compressions[0]
    first, found = compare_all(table, recipe.select, compression)
    if not found:
        return ""
    header, ends, text = _outcomes(found)
    pruned = any(share for _, share in main_rows(table, compression))
    place = f"At compression {compression:g}; over" if pruned else "Over"
    lines = [
        [_title(one.other), f"{one.difference:+.2f}", *end]
        for one, end in zip(found, ends, strict=True)
    ]
    return (
        f"## {_title(first)} against the others\n\n"
        f"{_grid(['against', 'points', *header], lines)}\n\n"
        f"{place} the seeds that both have.{text}"
    )


def _outcomes(found):
    """Return columns of comparisons and a note; of one data set those of its seeds."""
    if by_seed(found):
        seeds = sorted({seed for one in found for seed in one.seeds})
        header = [f"seed {seed}" for seed in seeds]
        ends = [[_gap(one.seeds.get(seed)) for seed in seeds] for one in found]
        values = [one.seeds_p for one in found]
        test = "Student's paired t-test over seeds"
    else:
        header = ["wins", "ties", "losses"]
        ends = [[one.wins, one.ties, one.losses] for one in found]
        values = [one.p for one in found]
        test = "Wilcoxon's signed-rank test over data sets"
    if not any(value is not None for value in values):
        return header, ends, ""
    for one, value, end in zip(found, values, ends, strict=True):
        end += ["" if p is None else f"{p:.3g}" for p in (value, one.together)]
    return (
        [*header, "p", "p (Holm)"],
        ends,
        f" p: {test}, two-sided; Holm's correction is for all comparisons of this "
        "table together.",
    )


def _gap(points) -> str:
    return "" if points is None else f"{points:+.2f}"


def _reached(recipe, table) -> str:
    if recipe.reach is None:
        return ""

    def first(cell):
        if not (reached := _reached_by(cell, recipe)):
            return ""
        epochs = [epoch for epoch in reached if epoch]
        return f"{np.mean(epochs):.1f}" if epochs else "never"

    def never(cell):
        reached = _reached_by(cell, recipe)
        return reached.count(None) if reached else ""

    text = (
        f"The first epoch with this {recipe.select.replace('_', ' ')} on validation "
        "rows, mean over the seeds that reach it. Epochs count from the end of the "
        "search, or of NTT's transfer."
    )
    share = f"{100 * recipe.reach:g} %"
    parts = [f"## Epochs until {share}", _each(table, first), text]
    if any(None in _reached_by(cell, recipe) for cell in table.cells.values()):
        parts += [f"### Seeds that never reach {share}", _each(table, never)]
    return "\n\n".join(parts)


def _reached_by(cell, recipe) -> list[int | None]:
    """Return the epoch that each seed needs, or None; [] if epochs are unknown."""
    if not all(report.get("history") for report in cell.reports.values()):
        return []
    return list(cell.reached(recipe.select, recipe.reach).values())


def _consistency(recipe, table) -> str:
    rows = main_rows(table, recipe.compressions[0])
    found = {
        place: [r.get("consistency") for r in cell.reports.values()]
        for place, cell in table.cells.items()
        if place[0] in rows
    }
    found = {place: shares for place, shares in found.items() if all(shares)}
    kinds = list(dict.fromkeys(k for shares in found.values() for k in shares[0]))
    lines = []
    for (row, method), shares in found.items():
        means = [100 * np.mean([s.get(kind, np.nan) for s in shares]) for kind in kinds]
        values = ["" if np.isnan(mean) else f"{mean:.1f}" for mean in means]
        lines.append([row[0], _title(method), *values])
    if not lines:
        return ""
    header = ["data set", "method", *(kind.replace("_", " ") for kind in kinds)]
    return (
        "## Same answer for two random views, %\n\n"
        f"{_grid(header, lines)}\n\nOf validation inputs, in evaluation mode; one "
        "kind of view at a time. Of one network, even if the accuracy is that of an "
        "ensemble."
    )


def _sizes(table) -> str:
    lines = []
    for (row, method), cell in table.cells.items():
        reports = [*cell.reports.values()]
        minutes = np.median([r["seconds"] for r in reports]) / 60
        sizes = ["", "", ""]  # trees have no weights
        if all("weights" in r for r in reports):
            nonzero = np.mean([r["weights"]["nonzero"] for r in reports])
            total = np.mean([r["weights"]["total"] for r in reports])
            sizes = [f"{total:,.0f}", f"{nonzero:,.0f}", f"{total / nonzero:.2f}"]
        lines.append([_place(row), _title(method), *sizes, f"{minutes:.1f}"])
    header = ["", "method", "weights", "nonzero", "compression", "minutes a run"]
    return (
        f"## Size and time\n\n{_grid(header, lines)}\n\nWeights of one network, even "
        "if the figures are those of an ensemble; mean over seeds. Minutes: median "
        "over seeds, of this run alone; a search serves all compressions and is "
        "counted with none."
    )


def _collapsed(reports) -> str:
    lines = [
        f"- {c['dataset']}, {_title(c['method'])}, ×{c['compression']:g}, seed "
        f"{c['seed']}: {', '.join(report['collapsed'])}"
        for report in reports
        if report.get("collapsed") and (c := report["config"])["compression"]
    ]
    if not lines:
        return ""
    text = "These layers have lost all their weights:"
    return f"## Collapsed\n\n{text}\n\n" + "\n".join(lines)


def pictures(plots) -> str:
    """Return a page of the plots, PNG files next to it; "" if there are none.

    It is a page of its own, since plots can be drawn again and are not kept with the
    results.
    """
    shown = [f"![{file.stem}]({file.name})" for file in plots]
    return "\n\n".join(["# Plots", *shown]) + "\n" if shown else ""
