"""A benchmark's runs, means and comparisons as CSV files."""

from keras_invprune_lab.bench.recovery import points
from keras_invprune_lab.bench.results import main_rows
from keras_invprune_lab.bench.statistics import (
    compare_all,
    rank,
    row_means,
    row_ranks,
)
from keras_invprune_lab.training.files import write_csv

FIGURES = ("accuracy", "balanced_accuracy", "macro_precision")


def write_all(recipe, table, reports, out):
    """Write the files, all figures in percent, differences in points.

    - ``runs.csv``: a line for each run: what it is, and all its figures.
    - ``table.csv``: a line for each mean: its spread (standard deviation, n - 1), and
      its rank among the methods of the same data set and compression by
      ``shared_mean``, that over the seeds which all of these methods have.
    - ``comparisons.csv``: a line for each method and compression: its mean rank over
      data sets, if there are several, and how IUNet, or else the first method, does
      against it.
    - ``recovery.csv``, where methods retrain: a line for each epoch after each round of
      pruning (`recovery.Point`).

    Args:
        recipe: `Recipe`.
        table: `Table`.
        reports: All reports, whichever grid point was chosen.
        out: Folder.
    """
    write_csv(out / "runs.csv", _runs(reports))
    write_csv(out / "table.csv", _means(table, recipe.select))
    write_csv(out / "comparisons.csv", _comparisons(table, recipe.select))
    if recovered := points(reports, recipe.select):
        write_csv(out / "recovery.csv", [_epoch(point) for point in recovered])


def _runs(reports) -> list[dict]:
    names = ("dataset", "method", "objective", "kappa", "compression", "penalty")
    kinds = dict.fromkeys(k for r in reports for k in r.get("consistency", ()))
    rows = []
    for report in reports:
        row = {name: report["config"][name] for name in (*names, "seed")}
        row |= {name: report.get(name) for name in ("best_epoch", "seconds")}
        row |= {n: report.get("weights", {}).get(n) for n in ("total", "nonzero")}
        for part in ("validation", "test"):
            row |= {f"{part}_{n}": _percent(report[part].get(n)) for n in FIGURES}
        if "merged" in report:
            row["depth"] = report["merged"]["depth"][1]
            row["active"] = report["merged"].get("active")
        shares = report.get("consistency", {})
        row |= {f"consistency_{kind}": _percent(shares.get(kind)) for kind in kinds}
        rows.append(row)
    return rows


def _epoch(point) -> dict:
    figures = ("sparsity", "validation", "test")
    return point._asdict() | {
        name: _number(getattr(point, name), ".6g") for name in figures
    }


def _percent(share) -> str:
    return "" if share is None else f"{100 * share:.3f}"


def _means(table, figure) -> list[dict]:
    means = {row: row_means(table, figure, row) for row in table.rows}
    ranks = {row: row_ranks(table, figure, row) for row in table.rows}
    return [
        {
            "dataset": row[0],
            "compression": row[1],
            "method": method,
            "figure": figure,
            "seeds": len(cell.reports),
            "mean": f"{cell.mean(figure):.3f}",
            "spread": _number(cell.spread(figure), ".3f"),
            "shared_mean": _number(means[row].get(method), ".3f"),
            "rank": ranks[row].get(method),
            "kappa": cell.kappa,
            "penalty": cell.penalty,
        }
        for (row, method), cell in table.cells.items()
    ]


def _comparisons(table, figure) -> list[dict]:
    rows = []
    compressions = dict.fromkeys(c for _, c in table.rows if c) or [None]
    for compression in compressions:
        places = main_rows(table, compression)
        ranks = rank(table, figure, places)
        means = ranks.means if ranks.rows > 1 else {}
        first, found = compare_all(table, figure, compression)
        against = {one.other: one for one in found}
        for method in table.methods:
            row = {
                "compression": compression,
                "method": method,
                "mean_rank": _number(means.get(method), ".3f"),
                "ranked_datasets": ranks.rows,
                "friedman_p": _number(ranks.p, ".3g"),
            }
            one = against.get(method)
            rows.append(row | (_lead(first, one) if one else {}))
    return rows


def _lead(first, one) -> dict:
    return {
        "lead_of": first,
        "points": f"{one.difference:.3f}",
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "wilcoxon_p": _number(one.p, ".3g"),
        "seeds_p": _number(one.seeds_p, ".3g"),
        "holm_p": _number(one.together, ".3g"),
    }


def _number(value, pattern) -> str:
    return "" if value is None else format(value, pattern)
