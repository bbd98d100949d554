"""How much of what structure predicts is only the prior of a graph?

    python benchmarks/trained_graphs.py [PREDICTIONS] [--table TABLE]

PREDICTIONS is the file predictions.csv that `keras-invprune structure predict` writes.
Printed are R² of the predictions, R² of each prior's mean accuracy, which knows nothing
but the prior, and R² of the predictions among the graphs of one prior. The means are
those of the graphs that they predict, which flatters them a little.

TABLE is the file trained.csv that `keras-invprune structure train` writes. Printed are
the accuracies of its trainings by prior, and by the number of nodes that read the
letters alone.
"""

import argparse
from pathlib import Path

import ledger
import numpy as np
from sklearn.metrics import r2_score

FOLDER = Path("docs/results/structure-train")
FILE, TABLE = FOLDER / "predictions" / "predictions.csv", FOLDER / "trained.csv"
LOW, HIGH = 0.6, 0.99


def by_prior(lines) -> dict[str, np.ndarray]:
    """Return ``{prior: array of (accuracy, prediction)}``, [graphs, 2]."""
    found = {}
    for line in lines:
        prior = line["graph"].rpartition("-")[0]
        found.setdefault(prior, []).append((float(line["figure"]), float(line["said"])))
    return {prior: np.array(pairs) for prior, pairs in found.items()}


def figures(priors) -> dict[str, float]:
    """Return R² by what is compared with the accuracies."""
    accuracy, said = np.concatenate(list(priors.values())).T
    means = np.concatenate([np.full(len(p), p[:, 0].mean()) for p in priors.values()])
    found = {"all": r2_score(accuracy, said), "prior": r2_score(accuracy, means)}
    return found | {prior: r2_score(*pairs.T) for prior, pairs in priors.items()}


def accuracies(trainings) -> dict[tuple, np.ndarray]:
    """Return ``{(cell, prior, source nodes): accuracies}``; "" for all together."""
    found = {}
    for row in trainings:
        cell, prior, sources = (
            row["cell"],
            row["prior"],
            int(float(row["source_nodes"])),
        )
        for rest in (("", ""), (prior, ""), (prior, f"{sources:2}")):
            found.setdefault((cell, *rest), []).append(float(row["test_accuracy"]))
    return {group: np.array(found[group]) for group in sorted(found)}


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path, nargs="?", default=FILE)
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    priors = by_prior(ledger.rows(arguments.predictions))
    print("| compared with the accuracy of | R² |\n|---|---:|")
    names = {"all": "all graphs, the predictions", "prior": "all graphs, their prior"}
    for name, r2 in figures(priors).items():
        print(f"| {names.get(name, f'{name}, the predictions')} | {r2:.2f} |")
    print()
    print("| cell | prior | sources | trainings | mean, % | below 60 % | above 99 % |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for group, found in accuracies(ledger.rows(arguments.table)).items():
        mean = f"{100 * found.mean():.1f}"
        low, high = np.count_nonzero(found < LOW), np.count_nonzero(found > HIGH)
        cells = [name.strip() or "all" for name in group]
        print(f"| {' | '.join(map(str, (*cells, found.size, mean, low, high)))} |")


if __name__ == "__main__":
    main()
