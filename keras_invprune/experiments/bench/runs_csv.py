"""All runs of a benchmark in one CSV file."""

import csv

FIGURES = ("accuracy", "balanced_accuracy", "macro_precision")


def write_csv(reports, file):
    """One row for each run: what it is, and all its figures in percent."""
    names = ("dataset", "method", "objective", "kappa", "compression", "penalty")
    fields = [*names, "seed", "best_epoch", "seconds", "total", "nonzero"]
    fields += [f"{part}_{n}" for part in ("validation", "test") for n in FIGURES]
    kinds = dict.fromkeys(k for r in reports for k in r.get("consistency", ()))
    fields += [f"consistency_{kind}" for kind in kinds]
    with open(file, "w", newline="") as stream:
        table = csv.DictWriter(stream, fields, lineterminator="\n")
        table.writeheader()
        for report in reports:
            row = {name: report["config"][name] for name in (*names, "seed")}
            row |= {name: report.get(name) for name in ("best_epoch", "seconds")}
            row |= report.get("weights", {})
            for part in ("validation", "test"):
                row |= {f"{part}_{n}": _percent(v) for n, v in report[part].items()}
            for kind, share in report.get("consistency", {}).items():
                row[f"consistency_{kind}"] = _percent(share)
            table.writerow(row)


def _percent(share) -> str:
    return f"{100 * share:.3f}"
