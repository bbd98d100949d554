"""Measures what a pretrained network loses when it is pruned to 80 % on digits.

python benchmarks/pretrained_digits.py [--seeds 0 1 2 3 4] [--out docs/results]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from ledger import mean_and_spread, with_spreads

import keras_invprune as kip
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

SPARSITY = 0.8


def train(model, data, epochs):
    """Train with Adam on batches of 32 and return the test accuracy."""
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=epochs, verbose=0)
    return model.evaluate(data.x_test, data.y_test, verbose=0)[1]


def main():
    """Write one row per seed, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        keras.utils.set_random_seed(seed)
        data = digits(seed)
        model = mlp(data.x_train.shape[1:], data.classes, (256, 128))
        before = train(model, data, arguments.epochs)
        pruned = kip.prune_for_invariance(model, SPARSITY)  # detects that it is trained
        rows.append((before, train(pruned, data, arguments.epochs)))
        print(seed, rows[-1], flush=True)
    before, after = 100 * np.array(rows).T
    found = {"before": before, "after": after, "points lost": before - after}
    cells = [cell for values in found.values() for cell in mean_and_spread(values)]
    seeds = " ".join(map(str, arguments.seeds))
    lines = [
        "# A pretrained network on digits, pruned to 80 %",
        "",
        f"`python benchmarks/pretrained_digits.py --seeds {seeds}`, "
        f"{arguments.epochs} epochs to train, {arguments.epochs} to prune. "
        "Test accuracy in %, means; spread: standard deviation (ddof = 1).",
        "",
        f"| {' | '.join(with_spreads(found))} |",
        "|" + "---:|" * 2 * len(found),
        f"| {' | '.join(cells)} |",
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "pretrained_digits.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
