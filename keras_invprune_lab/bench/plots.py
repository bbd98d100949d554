"""Plots of a benchmark, each made where the runs have what it shows."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from keras_invprune_lab.bench.recovery import by_epoch, by_sparsity, points
from keras_invprune_lab.bench.results import grid, main_rows
from keras_invprune_lab.bench.statistics import rank
from keras_invprune_lab.extras import needed
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.network import FILTERS
from keras_invprune_lab.training.evaluate import SHOWN

UNPRUNED = {"linewidth": 1, "color": "gray"}
MANY = 4  # data sets, of whose epochs nobody looks at a plot each
CROWD = 12  # methods, whose legend stands next to the plot
STYLES = ("-", "--", ":")  # of ten colors each


def draw(recipe, table, reports, jobs, out) -> list[Path]:
    """Write the plots as PNG.

    Args:
        recipe: `Recipe`.
        table: `Table`.
        reports: All reports.
        jobs: All `Job`s.
        out: Folder with ``runs/``, where the files are written too.

    Returns:
        The files.

    Raises:
        ImportError: If matplotlib is missing; names the extra.
    """
    out = Path(out)
    made = [
        *_by_compression(recipe, table, out),
        *_by_epoch(recipe, table, out),
        *_by_kappa(recipe, reports, out),
        *_recovery(recipe, reports, out),
        *_rounds(recipe, reports, out),
        *_critical_difference(recipe, table, out),
        *_filters(recipe, jobs, out),
    ]
    return [file for file in made if file]


@contextmanager
def _figure(file, size=(6.4, 4.0)):
    with needed("bench", by="plots"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=size, layout="constrained")
    yield figure.subplots()
    figure.savefig(file, dpi=120)


def _label(recipe) -> str:
    return f"test {recipe.select.replace('_', ' ')}, %"


def _name(dataset) -> str:
    return dataset.replace(":", "-").replace("/", "-")


def _by_compression(recipe, table, out):
    for dataset in recipe.datasets:
        rows = [row for row in table.rows if row[0] == dataset and row[1]]
        if len(rows) < 2:
            continue
        file = out / f"compression-{_name(dataset)}.png"
        with _figure(file) as axes:
            for method in table.methods:
                _curve(axes, table, rows, method, recipe.select)
            axes.set_xscale("log", base=2)
            ticks = [compression for _, compression in rows]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set(xlabel="compression", ylabel=_label(recipe), title=dataset)
            if len(table.methods) > CROWD:
                axes.set_ylim(*_limits(table, rows, recipe.select))
            _legend(axes, fontsize="small")
        yield file


def _limits(table, rows, figure) -> tuple[float, float]:
    """Return limits without what is so far below that the rest would be one line."""
    floors, best = [], 0.0
    for row in rows:
        cells = [cell for (place, _), cell in table.cells.items() if place == row]
        means = [cell.mean(figure) for cell in cells]
        middle, best = np.median(means), max(best, *means)
        floors.append(middle - 2 * (max(means) - middle) - 1)
    floor = max(0.0, min(floors))
    return floor, best + 0.1 * (best - floor)


def _legend(axes, **style):
    """Draw the legend in the plot; if it is long, next to it."""
    if len(axes.get_legend_handles_labels()[1]) <= CROWD:
        axes.legend(**style)
        return
    axes.figure.set_size_inches(9.6, 4.8)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _curve(axes, table, rows, method, figure):
    cells = [table.cells[row, method] for row in rows if (row, method) in table.cells]
    if not cells:
        return
    title = METHODS[method].title
    if not METHODS[method].pruned:
        unpruned = [name for name in table.methods if not METHODS[name].pruned]
        style = ("--", ":", "-.")[unpruned.index(method) % 3]
        axes.axhline(cells[0].mean(figure), label=title, ls=style, **UNPRUNED)
        return
    axes.errorbar(
        [cell.compression for cell in cells],
        [cell.mean(figure) for cell in cells],
        [cell.spread(figure) or 0 for cell in cells],
        ls=STYLES[table.methods.index(method) // 10 % 3],
        marker="o",
        capsize=3,
        label=title,
    )


def _by_epoch(recipe, table, out):
    """Draw the accuracy on validation rows while the final network is trained."""
    for row in main_rows(table, recipe.compressions[0]):
        file = out / f"epochs-{_name(row[0])}.png"
        curves = {
            METHODS[method].title: table.cells[row, method].curve(recipe.select)
            for method in table.methods
            if (row, method) in table.cells
        }
        curves = {title: curve for title, curve in curves.items() if len(curve) > 1}
        if len(recipe.datasets) > MANY or len(curves) < 2:
            continue
        with _figure(file) as axes:
            for number, (title, curve) in enumerate(curves.items()):
                style = STYLES[number // 10 % 3]
                epochs = np.arange(1, len(curve) + 1)
                axes.plot(epochs, curve, style, linewidth=1, label=title)
            best = max(curve.max() for curve in curves.values())
            middle = np.median([curve[0] for curve in curves.values()])
            axes.set(
                xlabel="epoch",
                ylabel=f"validation {recipe.select.replace('_', ' ')}, %",
                title=row[0] + (f", ×{row[1]:g}" if row[1] else ""),
            )
            if best > middle:
                axes.set_ylim(middle, best + 0.05 * (best - middle))
            _legend(axes, fontsize="x-small", ncols=2)
        yield file


def _by_kappa(recipe, reports, out):
    for dataset in recipe.datasets:
        for compression in recipe.compressions:
            lines = {
                "iunet": grid(reports, dataset, "iunet", compression),
                "unpruned": grid(reports, dataset, "unpruned", None),
            }
            if len(lines["iunet"]) < 2:
                continue
            file = out / f"kappa-{_name(dataset)}-c{compression:g}.png"
            with _figure(file) as axes:
                for method, points in lines.items():
                    if not points:
                        continue
                    axes.errorbar(
                        [cell.kappa for cell in points],
                        [cell.mean(recipe.select) for cell in points],
                        [cell.spread(recipe.select) or 0 for cell in points],
                        marker="o",
                        capsize=3,
                        label=METHODS[method].title,
                    )
                axes.set_xscale("log", base=2)
                axes.set_xticks(recipe.kappas, [f"{k:g}" for k in recipe.kappas])
                title = f"{dataset}, ×{compression:g}"
                axes.set(xlabel="κ", ylabel=_label(recipe), title=title)
                axes.legend()
            yield file


def _recovery(recipe, reports, out):
    """Draw the accuracy on validation rows from right after pruning, epoch 0, on."""
    found = points(reports, recipe.select)
    for dataset in recipe.datasets:
        for compression in dict.fromkeys(p.compression for p in found if p.compression):
            wanted = (compression, None)
            here = [
                p for p in found if p.dataset == dataset and p.compression in wanted
            ]
            curves = by_epoch(here)
            if not curves:
                continue
            file = out / f"recovery-{_name(dataset)}-c{compression:g}.png"
            with _figure(file) as axes:
                for method, curve in curves.items():
                    axes.plot(curve, label=METHODS[method].title, linewidth=1)
                label = f"validation {recipe.select.replace('_', ' ')}, %"
                title = f"{dataset}, ×{compression:g}"
                axes.set(xlabel="epochs after pruning", ylabel=label, title=title)
                _legend(axes, fontsize="small")
            yield file


def _rounds(recipe, reports, out):
    """Draw the accuracy after each round by the sparsity, where there are several."""
    found = [p for p in points(reports, recipe.select) if p.compression]
    if max((p.round for p in found), default=0) < 2:
        return
    for dataset in recipe.datasets:
        curves = by_sparsity([p for p in found if p.dataset == dataset])
        file = out / f"rounds-{_name(dataset)}.png"
        with _figure(file) as axes:
            for method, curve in curves.items():
                axes.errorbar(
                    [100 * sparsity for sparsity in curve],
                    [np.mean(values) for values in curve.values()],
                    [np.std(v, ddof=1) if len(v) > 1 else 0 for v in curve.values()],
                    marker="o",
                    capsize=3,
                    label=METHODS[method].title,
                )
            axes.set(xlabel="sparsity, %", ylabel=_label(recipe), title=dataset)
            _legend(axes, fontsize="small")
        yield file


def critical_difference(methods, rows) -> float:
    """Return the least difference of mean ranks that is significant at 5 % (Nemenyi).

    q·sqrt(k (k + 1) / (6 N)), q from the studentized range divided by sqrt(2).

    Args:
        methods: k, number of methods.
        rows: N, number of data sets.

    Source:
        Demšar 2006, Statistical comparisons of classifiers over multiple data sets,
        JMLR 7, section 3.2.2.
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * rows)))


def _critical_difference(recipe, table, out):
    places = main_rows(table, recipe.compressions[0])
    ranks, rows, p = rank(table, recipe.select, places)
    if p is None:
        return
    file = out / "critical-difference.png"
    distance = critical_difference(len(ranks), rows)
    order = sorted(ranks, key=ranks.get)
    with _figure(file, (6.4, 0.8 + 0.35 * len(order))) as axes:
        for height, method in enumerate(reversed(order)):
            axes.plot(ranks[method], height, "o", color="black")
            title = f"  {METHODS[method].title} ({ranks[method]:.2f})"
            axes.text(ranks[method], height, title, va="center")
        for level, (low, high) in enumerate(cliques(ranks, distance)):
            height = len(order) - 0.5 + 0.15 * level
            axes.plot([low, high], [height, height], linewidth=4, color="gray")
        axes.set(xlim=(1, len(order)), yticks=[], xlabel="mean rank (1 is best)")
        axes.set_title(
            f"{rows} data sets, Friedman's p = {p:.2g}; bars join ranks less than "
            f"{distance:.2f} apart (Nemenyi, 5 %)",
            fontsize="small",
        )
    yield file


def cliques(ranks, distance) -> list[tuple[float, float]]:
    """Return the ends of the longest spans without a significant difference."""
    values = sorted(ranks.values())
    spans = []
    for low in values:
        high = max(value for value in values if value - low < distance)
        if high > low and not any(a <= low and high <= b for a, b in spans):
            spans.append((low, high))
    return spans


def _filters(recipe, jobs, out):
    """Draw the first-layer filters of the first seed's networks of images."""
    for job in jobs:
        file = out / "runs" / job.name / FILTERS
        target = out / f"filters-{_name(job.dataset)}-{job.label}.png"
        main = job.compression in (None, recipe.compressions[0])
        if not (main and job.seed == jobs[0].seed):
            continue
        if not file.exists():  # the run was made elsewhere
            yield target if target.exists() else None
            continue
        with np.load(file) as arrays:
            filters = arrays["filters"].astype("float32")
        if filters.ndim == 4 and filters.shape[-1] in (1, 3):
            with _figure(target, (4, 4)) as axes:
                axes.imshow(mosaic(filters), cmap="gray", interpolation="nearest")
                axes.set_axis_off()
                axes.set_title(job.label, fontsize="small")
            yield target


def mosaic(filters) -> np.ndarray:
    """Return filters in a square, each scaled to [0, 1] around 0.5 for zero.

    Args:
        filters: [units, height, width, channels of 1 or 3].

    Returns:
        [rows, columns, channels].
    """
    side = int(np.sqrt(min(len(filters), SHOWN)))
    filters = filters[: side * side]
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    filters = 0.5 + 0.5 * filters / np.where(largest == 0, 1, largest)
    space = ((0, 0), (1, 0), (1, 0), (0, 0))  # a pixel between two
    filters = np.pad(filters, space, constant_values=1.0)
    _, height, width, channels = filters.shape
    tiles = filters.reshape(side, side, height, width, channels)
    return tiles.swapaxes(1, 2).reshape(side * height, side * width, channels)
