"""How near do budgets of milliseconds come to what the exported file takes?

    python benchmarks/budget_milliseconds.py [--only mlp convnet residual]

The layers of three networks are measured in LiteRT, as `Budget(milliseconds=...)` does.
Then each network is pruned to three quarters and to half of its milliseconds, by units
of any number and by multiples, stripped and compacted. Weights are random, since only
time counts. "Files" is how many files were timed to find the network, and "predicted"
what the table of layers says of it. "Measured" is its exported file: three rounds, in
each of which the files of the given network and of all compact ones are exported and
take turns. It is the median of the rounds, with the least and the most. The given
network is in the table as well, where "predicted" is what it took when its layers were
measured: the difference is that between two measurements.

Finished networks are read from budget_milliseconds.csv.
"""

import argparse
import itertools
from pathlib import Path

import keras
import numpy as np
from keras import layers
from ledger import finished, write
from structured import network as residual

import keras_invprune as kip
from keras_invprune.allocation import Budget
from keras_invprune.graph.weights import shapes_of, weights_by_key
from keras_invprune.runtimes import RUNTIMES
from keras_invprune_lab.models import small_convnet

RUNTIME, MEASURED_ONCE = "litert-cpu", "measured once"
SHARES, ROUNDS = (0.75, 0.5), 3
WIDTH, FILTERS = 16, (32, 64, 128)
FIELDS = ("network", "share", "multiple", "parameters", "macs", "allowed", "predicted")
FIELDS += ("files", "measured", "least", "most")


def mlp():
    """Return three wide layers for digits."""
    hidden = [layers.Dense(units, "relu") for units in (1024, 512, 256)]
    return keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10)])


NETWORKS = {  # how to make it, and the multiples of units; layers have 16 and more
    "mlp": (mlp, (1, 8, 32)),
    "convnet": (lambda: small_convnet((32, 32, 3), 10, FILTERS), (1, 8, 16)),
    "residual": (lambda: residual(WIDTH, seed=0), (1, 8)),
}


class Given:
    """A runtime whose table is given, measured only once. It counts files."""

    def __init__(self, table):
        self._table, self.files = table, 0

    def milliseconds(self, models):
        """Return the milliseconds of files."""
        self.files += len(models)
        return RUNTIMES[RUNTIME].milliseconds(models)

    def cost(self, model):
        """Return the table."""
        return self._table


def shapes(model):
    """Return the shapes of a model's weights."""
    return shapes_of(weights_by_key(model))


def within(model, table, milliseconds, multiple):
    """Return the compact network of a budget of multiples, and how many were timed."""
    RUNTIMES[MEASURED_ONCE] = given = Given(table)
    budget = Budget(milliseconds=milliseconds, runtime=MEASURED_ONCE)
    pattern = kip.patterns.Units(round_to=multiple)
    pruned = kip.prune(model, budget, pattern=pattern, schedule="manual")
    pruned.prune_to(pruned.plan.sparsity)
    return kip.compact(kip.strip_pruning(pruned)), given.files


def measure(name) -> list[dict]:
    """Return a row for the network, and for each budget."""
    keras.utils.set_random_seed(0)
    make, multiples = NETWORKS[name]
    model = make()
    table = RUNTIMES[RUNTIME].cost(model)
    dense = table(shapes(model))
    found, files = {(1.0, 1): model}, {(1.0, 1): 0}
    for kind in itertools.product(SHARES, multiples):
        share, multiple = kind
        found[kind], files[kind] = within(model, table, share * dense, multiple)
    times = [RUNTIMES[RUNTIME].milliseconds([*found.values()]) for _ in range(ROUNDS)]
    return [
        {
            **{"network": name, "share": share, "multiple": multiple},
            "parameters": small.count_params(),
            "macs": int(Budget(macs=1).measure(small)),
            **rounded("allowed", share * dense),
            **rounded("predicted", table(shapes(small))),
            "files": files[share, multiple],
            **rounded("measured", np.median(own)),
            **rounded("least", min(own)),
            **rounded("most", max(own)),
        }
        for ((share, multiple), small), own in zip(
            found.items(), np.transpose(times), strict=True
        )
    ]


def rounded(name, milliseconds) -> dict:
    """Return one entry of a row."""
    return {name: float(f"{milliseconds:.4g}")}


def main():
    """Measure what is missing; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "budget_milliseconds.csv"
    found = finished(file, key=lambda row: row["network"])
    for name in [name for name in arguments.only if name not in found]:
        found[name] = measure(name)
        write(found, file, FIELDS)
        print(*found[name], sep="\n", flush=True)


if __name__ == "__main__":
    main()
