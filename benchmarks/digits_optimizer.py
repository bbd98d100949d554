"""Why SGD for images: how the optimizer affects masks that are based on magnitudes.

    python benchmarks/digits_optimizer.py [--seeds 0 1 2 3 4] [--epochs 40]

`prune_for_invariance` runs with its defaults on scikit-learn's digits, once with each
optimizer and a constant learning rate. "Idle" pixels have a standard deviation below
0.05 in the training data. A network that has learned which inputs matter keeps few of
their connections.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from ledger import mean_and_spread, with_spreads

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

SPARSITY, UNITS, IDLE = 0.9, (256, 128), 0.05
OPTIMIZERS = {
    "SGD(0.1, momentum=0.9)": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "Adam(1e-3)": lambda: keras.optimizers.Adam(1e-3),
    "AdamW(1e-3, weight_decay=0.5)": lambda: keras.optimizers.AdamW(
        1e-3, weight_decay=0.5
    ),
}
COLUMNS = ["accuracy", "same answer after a shift", "kept: idle", "kept: other pixels"]


def measure(optimizer, seed, epochs):
    """Return one row of numbers in [0, 1], see `COLUMNS`."""
    keras.utils.set_random_seed(seed)
    data = digits(seed)
    pruned = kip.prune_for_invariance(mlp((8, 8, 1), data.classes, UNITS), SPARSITY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(optimizer, loss)
    pruned.fit(data.x_train, data.y_train, epochs=epochs, verbose=0)
    views = {"shift": kip.views.RandomShift(0.125, seed=0)}
    final = kip.strip_pruning(pruned)
    found = kip.consistency(final, data.x_test, views, data.y_test)
    kept = next(iter(pruned.masks.values())).numpy().mean(axis=1)
    idle = data.x_train.std(axis=0).reshape(-1) < IDLE
    return found["accuracy"], found["shift"], kept[idle].mean(), kept[~idle].mean()


def main():
    """Measure; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    seeds = " ".join(map(str, arguments.seeds))
    lines = [
        "# The optimizer of the search, digits, 90 %",
        "",
        f"`python benchmarks/digits_optimizer.py --seeds {seeds} --epochs "
        f"{arguments.epochs}`. In %, means; spread: standard deviation (ddof = 1); "
        "kept: connections of the first layer.",
        "",
        f"| optimizer | {' | '.join(with_spreads(COLUMNS))} |",
        "|---|" + "---:|" * 2 * len(COLUMNS),
    ]
    for name, make in OPTIMIZERS.items():
        rows = [measure(make(), seed, arguments.epochs) for seed in arguments.seeds]
        cells = [f"`{name}`"]
        for values in 100 * np.array(rows).T:
            cells += mean_and_spread(values)
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "digits_optimizer.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
