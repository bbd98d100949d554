"""How much of what structure predicts is only the prior of a graph?

    python benchmarks/trained_graphs.py [PREDICTIONS]

PREDICTIONS is the file predictions.csv that `keras-invprune structure predict` writes.
Printed are R² of the predictions, R² of each prior's mean accuracy, which knows nothing
but the prior, and R² of the predictions among the graphs of one prior. The means are
those of the graphs that they predict, which flatters them a little.
"""

import argparse
from pathlib import Path

import ledger
import numpy as np
from sklearn.metrics import r2_score

FILE = Path("docs/results/structure-train/predictions/predictions.csv")


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


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path, nargs="?", default=FILE)
    priors = by_prior(ledger.rows(parser.parse_args().predictions))
    print("| compared with the accuracy of | R² |\n|---|---:|")
    names = {"all": "all graphs, the predictions", "prior": "all graphs, their prior"}
    for name, r2 in figures(priors).items():
        print(f"| {names.get(name, f'{name}, the predictions')} | {r2:.2f} |")


if __name__ == "__main__":
    main()
