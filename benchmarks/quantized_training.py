"""Compares training for 4 or 8 bits with rounding afterwards, on pruned digits.

python benchmarks/quantized_training.py [--seeds 0 1 2 3 4] [--out docs/results]
"""

import argparse
import csv
import statistics
from pathlib import Path

import keras

import keras_invprune as kip
from keras_invprune.scores import Quantized
from keras_invprune_lab.data import digits
from keras_invprune_lab.models import mlp

COLUMNS = ("sparsity", "bits", "trained", "seed", "accuracy")


def fitted(data, seed, sparsity, score, epochs):
    """Prune while training with Adam on batches of 32, and return the plain model."""
    keras.utils.set_random_seed(seed)
    model = mlp(data.x_train.shape[1:], data.classes, (32,))
    pruned = kip.prune(model, sparsity, score=score, schedule="gradual")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.Adam(0.002), loss)
    pruned.fit(data.x_train, data.y_train, batch_size=32, epochs=epochs, verbose=0)
    return kip.strip_pruning(pruned)


def rounded(model, sparsity, bits):
    """Return the model as its quantized file computes: no step is made."""
    score = Quantized(bits=bits)
    wrapped = kip.prune(model, sparsity, score=score, schedule="manual")
    return kip.strip_pruning(wrapped, allow_unfinished=True)


def accuracy(model, data):
    """Return the test accuracy in %."""
    found = model.predict(data.x_test, verbose=0).argmax(1)
    return 100 * float((found == data.y_test).mean())


def rows(seeds, sparsities, epochs):
    """Yield a row for each network, by COLUMNS."""
    for seed in seeds:
        data = digits(seed)
        for sparsity in sparsities:
            plain = fitted(data, seed, sparsity, "magnitude", epochs)
            yield sparsity, 32, "float", seed, accuracy(plain, data)
            for bits in (8, 4):
                after = accuracy(rounded(plain, sparsity, bits), data)
                yield sparsity, bits, "rounded after", seed, after
                score = Quantized(bits=bits)
                model = fitted(data, seed, sparsity, score, epochs)
                yield sparsity, bits, "trained for it", seed, accuracy(model, data)


def main():
    """Write one row per network, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.8, 0.95])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    found = []
    for row in rows(arguments.seeds, arguments.sparsities, arguments.epochs):
        found.append(row)
        print(*row, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "quantized_training.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *found])
    for kind in dict.fromkeys(row[:3] for row in found):
        values = [row[4] for row in found if row[:3] == kind]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(*kind, f"{statistics.mean(values):.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()
