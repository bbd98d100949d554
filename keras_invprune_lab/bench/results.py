"""From reports to figures: seeds together, the best of a grid, rows and columns."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from keras_invprune_lab.methods.base import METHODS

GRID = ("kappa", "penalty")  # of these the best on validation rows is taken


class Cell(NamedTuple):
    """One method on one data set at one compression, all seeds.

    Attributes:
        dataset: Name of the data set.
        method: A name in `METHODS`.
        compression: What was asked for; None where nothing is pruned.
        kappa: The κ chosen.
        penalty: The λ of β-LASSO, or the strength of layer sparsity, chosen.
        reports: ``{seed: report}``.
    """

    dataset: str
    method: str
    compression: float | None
    kappa: float
    penalty: float | None
    reports: dict[int, dict]

    def values(self, figure, part="test") -> dict[int, float]:
        """Return ``{seed: value}`` of a figure, in percent."""
        return {s: 100 * r[part][figure] for s, r in self.reports.items()}

    def mean(self, figure, part="test", seeds=None) -> float:
        """Return the mean over the seeds, or those named, in percent."""
        values = self.values(figure, part)
        return float(np.mean([values[seed] for seed in seeds or values]))

    def spread(self, figure) -> float | None:
        """Return the standard deviation (n - 1) in points; None for one seed."""
        values = list(self.values(figure).values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def curve(self, figure) -> np.ndarray:
        """Return the mean on validation rows after each epoch, in percent."""
        curves = [
            r.get("history", {}).get(f"val_{figure}", ()) for r in self.reports.values()
        ]
        length = min(map(len, curves))
        return 100 * np.mean([curve[:length] for curve in curves], axis=0)

    def reached(self, figure, share) -> dict[int, int | None]:
        """Return ``{seed: first epoch}`` with a share on validation rows, or None.

        Epochs before the target sparsity do not count.
        """
        found = {}
        for seed, report in self.reports.items():
            history = report["history"]
            curve = np.array(history[f"val_{figure}"])
            pruned = np.array(history.get("pruned", np.ones(len(curve))))
            epochs = np.flatnonzero((curve >= share) & (pruned > 0))
            found[seed] = int(epochs[0]) + 1 if len(epochs) else None
        return found


def cells(reports, methods, select) -> list[Cell]:
    """Group reports; of a grid, take the point that is best on validation rows.

    A method's control has that method's point of the grid.

    Args:
        reports: From `ledger.collect`.
        methods: Names of the methods wanted.
        select: Name of the figure to choose by.

    Returns:
        `Cell`s, in the order of the reports.
    """
    groups = defaultdict(dict)
    for report in reports:
        config = report["config"]
        if config["method"] in methods:
            place = config["dataset"], config["method"], config["compression"]
            point = tuple(config[name] for name in GRID)
            groups[place].setdefault(point, {})[config["seed"]] = report
    found = {place: _best(place, points, select) for place, points in groups.items()}
    for (dataset, method, compression), points in groups.items():
        leader = found.get((dataset, METHODS[method].control_of, compression))
        point = leader and (leader.kappa, leader.penalty)
        if point in points:
            place = dataset, method, compression
            found[place] = Cell(*place, *point, points[point])
    return list(found.values())


def _best(place, points, select) -> Cell:
    """Return the best point on validation rows, of those with the most seeds."""
    most = max(map(len, points.values()))
    full = [
        Cell(*place, *point, seeds)
        for point, seeds in points.items()
        if len(seeds) == most
    ]
    return max(full, key=lambda cell: cell.mean(select, "validation"))


def grid(found, dataset, method, compression) -> list[Cell]:
    """Return all κ of a method on a data set, from the reports."""
    points = defaultdict(dict)
    for report in found:
        c = report["config"]
        place = c["dataset"], c["method"], c["compression"]
        if place == (dataset, method, compression):
            points[c["kappa"]][c["seed"]] = report
    return [
        Cell(dataset, method, compression, kappa, None, seeds)
        for kappa, seeds in sorted(points.items())
    ]


class Table(NamedTuple):
    """Means by row (data set and compression) and method.

    Attributes:
        rows: (data set, compression), None where nothing is pruned.
        methods: Names of the methods.
        cells: ``{(row, method): Cell}``.
    """

    rows: list[tuple[str, float | None]]
    methods: list[str]
    cells: dict[tuple, Cell]


def tabulate(found, methods) -> Table:
    """Return a row per data set and compression; the unpruned stand in each of them."""
    compressions = defaultdict(list)
    for cell in found:
        known = compressions[cell.dataset]
        if cell.compression not in known:
            known.append(cell.compression)
    rows = [
        (dataset, compression)
        for dataset, known in compressions.items()
        for compression in sorted(c for c in known if c) or [None]
    ]
    by_place = {(c.dataset, c.compression, c.method): c for c in found}
    placed = {}
    for dataset, compression in rows:
        for method in methods:
            asked = compression if METHODS[method].pruned else None
            cell = by_place.get((dataset, asked, method))
            if cell:
                placed[(dataset, compression), method] = cell
    shown = [m for m in methods if any(method == m for _, method in placed)]
    return Table(rows, shown, placed)


def main_rows(table, compression) -> list:
    """Return one row for each data set: that of `compression`, or the unpruned."""
    return [row for row in table.rows if row[1] in (None, compression)]
