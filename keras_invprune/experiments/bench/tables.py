"""The page of a benchmark, in Markdown."""

import numpy as np

from keras_invprune.experiments.bench.methods import METHODS
from keras_invprune.experiments.bench.results import compare, main_rows, mean_ranks


def markdown(recipe, table, reports, failures, command) -> str:
    """The page of a benchmark.

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
        _setting(recipe, table, reports),
        _accuracies(recipe, table),
        _chosen(recipe, table),
        _comparisons(recipe, table),
        _reached(recipe, table),
        _consistency(recipe, table),
        _sizes(table),
        _collapsed(reports),
    ]
    if failures:
        lines = [f"- {name}: {message}" for name, message in failures.items()]
        parts.append("## Failed\n\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(method) -> str:
    return METHODS[method].title


def _grid(header, rows) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _place(row) -> str:
    dataset, compression = row
    return f"{dataset}, ×{compression:g}" if compression else dataset


def _setting(recipe, table, reports) -> str:
    hours = sum(report["seconds"] for report in reports) / 3600
    machines = {_machine(report["environment"]) for report in reports}
    width = "" if recipe.width is None else f" (width {recipe.width})"
    chosen = sorted({cell.kappa for cell in table.cells.values()} - {1.0})
    kappa = ", ".join(f"{k:g}" for k in chosen)
    small = f"κ = {kappa} on {recipe.kappa_scope}; " if kappa else ""
    return (
        f"{recipe.model}{width}; {recipe.search_epochs} epochs before pruning and "
        f"{recipe.finetune_epochs} after (the sum for methods without a search), "
        f"batches of {recipe.batch_size}, {_optimizer(recipe.optimizer)}"
        f"{_second(recipe)}; {small}{_search(recipe)}augmentation: {recipe.augment}"
        f"{_limits(recipe)}{_early(recipe)}. "
        "The best epoch (and κ, and λ of β-LASSO, where there are "
        f"several) by {recipe.select.replace('_', ' ')} on {recipe.validation:.0%} "
        "of the training part held out; the test part is used once per run. "
        f"{len(reports)} runs took {hours:.1f} hours on {'; '.join(sorted(machines))}."
    )


def _second(recipe) -> str:
    other = recipe.finetune_optimizer
    if other is None:
        return ""
    return f", after pruning and without a search {_optimizer(other)}"


def _optimizer(own) -> str:
    decay = f", weight decay {own.weight_decay:g}" if own.weight_decay else ""
    return f"{own.name} at {own.rate:g} ({own.schedule}{decay})"


def _search(recipe) -> str:
    """What only recipes with a search have."""
    kinds = {METHODS[method].search for method in recipe.methods}
    search, text = recipe.search, ""
    if "invariance" in kinds:
        labels = "with" if search.labels else "no"
        text = f"λ = {search.weight:g}, τ = {search.temperature:g}, {labels} labels; "
    if kinds - {None}:
        rewound = f"rewound to `{recipe.rewind}`"
        text += f"{'not rewound' if recipe.rewind == 'none' else rewound}; "
    return text


def _limits(recipe) -> str:
    steps = recipe.epoch_steps
    return f"; at most {steps} batches an epoch" if steps else ""


def _early(recipe) -> str:
    """What only recipes of pruning before training have."""
    learners = {METHODS[method].learner for method in recipe.methods}
    counted = recipe.counted == "kernels"
    text = "; compression counts the kernels alone" if counted else ""
    if "tangent" in learners:
        text += f"; NTT before that {recipe.transfer_epochs} epochs without labels"
    return text


def _machine(environment) -> str:
    processor = environment.get("processor") or environment["machine"]
    return (
        f"{environment['cores']} cores ({processor}), TensorFlow "
        f"{environment['tensorflow']}, Keras {environment['keras']}"
    )


def _accuracies(recipe, table) -> str:
    figure = recipe.select
    published = recipe.published
    columns = list(dict.fromkeys(n for row in published.values() for n in row))
    header = ["", *map(_title, table.methods), *(f"{n} (published)" for n in columns)]
    rows = []
    for row in table.rows:
        means = [
            table.cells[row, m].mean(figure) if (row, m) in table.cells else None
            for m in table.methods
        ]
        best = max((m for m in means if m is not None), default=None)
        values = [
            _with_spread(table.cells.get((row, m)), figure, mean == best)
            for m, mean in zip(table.methods, means, strict=True)
        ]
        known = published.get(row[0], {})
        values += [f"{known[n]:.1f}" if n in known else "" for n in columns]
        rows.append([_place(row), *values])
    places = main_rows(table, recipe.compressions[0])
    ranks, count = mean_ranks(table, figure, places)
    if count > 1:
        names = [f"{ranks[m]:.2f}" for m in table.methods]
        rows.append([f"mean rank, {count} data sets", *names, *[""] * len(columns)])
    name = figure.replace("_", " ")
    return f"## Test {name}, %\n\n{_grid(header, rows)}\n\n" + (
        "Mean ± standard deviation over seeds (their number in brackets)."
        + (" Ranks: by the seeds that all methods have." if count > 1 else "")
    )


def _chosen(recipe, table) -> str:
    """κ and λ, where there were several to choose from."""
    lines = []
    for (row, method), cell in table.cells.items():
        kappa = f"{cell.kappa:g}" if len(recipe.kappas) > 1 and cell.kappa < 1 else ""
        penalty = f"{cell.penalty:g}" if cell.penalty else ""
        if kappa or penalty:
            lines.append([_place(row), _title(method), kappa, penalty])
    if not lines:
        return ""
    header = ["", "method", "κ", "λ of β-LASSO"]
    return f"## Chosen on validation rows\n\n{_grid(header, lines)}"


def _with_spread(cell, figure, best) -> str:
    if cell is None:
        return ""
    spread = cell.spread(figure)
    text = f"{cell.mean(figure):.2f}"
    text = f"**{text}**" if best else text
    spread = "" if spread is None else f" ± {spread:.2f}"
    return f"{text}{spread} ({len(cell.reports)})"


def _comparisons(recipe, table) -> str:
    first = "iunet" if "iunet" in table.methods else table.methods[0]
    rows = main_rows(table, recipe.compressions[0])
    lines = []
    for other in table.methods:
        found = other != first and compare(table, first, other, recipe.select, rows)
        if found:
            p = "" if found.p is None else f"{found.p:.3g}"
            outcome = f"{found.wins} / {found.ties} / {found.losses}"
            each = ", ".join(f"{gap:+.2f}" for gap in found.seeds)
            lines.append([_title(other), f"{found.difference:+.2f}", outcome, p, each])
    if not lines:
        return ""
    header = ["against", "points", "wins / ties / losses", "p", "by seed"]
    return (
        f"## {_title(first)} against the others\n\n{_grid(header, lines)}\n\n"
        f"At compression {recipe.compressions[0]:g}; over data sets, by the seeds that "
        "both have. p: Wilcoxon's signed-rank test, two-sided, from six data sets on."
    )


def _reached(recipe, table) -> str:
    if recipe.reach is None:
        return ""
    lines = []
    for row in table.rows:
        found = [table.cells.get((row, method)) for method in table.methods]
        lines.append([_place(row), *(_epochs(cell, recipe) for cell in found)])
    header = ["", *map(_title, table.methods)]
    return (
        f"## Epochs until {100 * recipe.reach:g} %\n\n{_grid(header, lines)}\n\nMean "
        f"over seeds of the first epoch with this {recipe.select.replace('_', ' ')} on "
        "validation rows; of methods with a search, after it, of NTT after its "
        "transfer. In brackets the seeds that never have it, if any."
    )


def _epochs(cell, recipe) -> str:
    if cell is None or not all(r.get("history") for r in cell.reports.values()):
        return ""
    reached = list(cell.reached(recipe.select, recipe.reach).values())
    epochs = [epoch for epoch in reached if epoch]
    never = f" ({len(reached) - len(epochs)})" if len(epochs) < len(reached) else ""
    return f"{np.mean(epochs):.1f}{never}" if epochs else "never"


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
        "kind of view at a time. Of one network, also where the accuracy is an "
        "ensemble's."
    )


def _sizes(table) -> str:
    lines = []
    for (row, method), cell in table.cells.items():
        reports = [r for r in cell.reports.values() if "weights" in r]
        if reports:
            nonzero = [r["weights"]["nonzero"] for r in reports]
            total = np.mean([r["weights"]["total"] for r in reports])
            minutes = np.median([r["seconds"] for r in reports]) / 60
            lines.append(
                [
                    _place(row),
                    _title(method),
                    f"{total:,.0f}",
                    f"{np.mean(nonzero):,.0f}",
                    f"{total / np.mean(nonzero):.2f}",
                    f"{minutes:.1f}",
                ]
            )
    if not lines:
        return ""
    header = ["", "method", "weights", "nonzero", "compression", "minutes a run"]
    return (
        f"## Size and time\n\n{_grid(header, lines)}\n\nWeights of one network, also "
        "where the figures are an ensemble's; mean over seeds. Minutes: median over "
        "seeds, of this run alone; a search serves all compressions and is counted "
        "with none."
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
    return "## Collapsed\n\nOf these layers nothing is left:\n\n" + "\n".join(lines)


def pictures(plots) -> str:
    """The end of the page: plots, PNG files beside it; the filters side by side."""
    shown = {file.name: f"![{file.stem}]({file.name})" for file in plots}
    filters = [link for name, link in shown.items() if name.startswith("filters-")]
    parts = [link for link in shown.values() if link not in filters]
    if parts:
        parts.insert(0, "## Plots")
    if filters:
        parts += ["## First-layer filters", "\n".join(filters)]
    return "".join(f"\n{part}\n" for part in parts)
