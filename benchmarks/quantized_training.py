"""Compares training for 4 or 8 bits with rounding afterwards, on pruned networks.

python benchmarks/quantized_training.py [--seeds 0 1 2 3 4] [--out docs/results]

It adds the rows of a task to those of other tasks that are in the file already.
"""

import argparse
import csv
import statistics
from pathlib import Path

import keras

import keras_invprune as kip
from keras_invprune.scores import Quantized
from keras_invprune_lab.data import load
from keras_invprune_lab.models import mlp

# By name: the hidden units, and the number of rows of a batch.
TASKS = {"sklearn:digits": ((32,), 32), "tfds:mnist": ((300, 100), 128)}
COLUMNS = ("data", "sparsity", "bits", "trained", "seed", "accuracy")


def fitted(task, data, seed, sparsity, score, epochs):
    """Prune while training with Adam, and return the plain model."""
    units, size = TASKS[task]
    keras.utils.set_random_seed(seed)
    model = mlp(data.x_train.shape[1:], data.classes, units)
    pruned = kip.prune(model, sparsity, score=score, schedule="gradual")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.Adam(0.002), loss)
    pruned.fit(data.x_train, data.y_train, batch_size=size, epochs=epochs, verbose=0)
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


def rows(task, seeds, sparsities, epochs):
    """Yield a row for each network, by COLUMNS."""
    for seed in seeds:
        data = load(task, seed)
        for sparsity in sparsities:
            start = task, data, seed, sparsity
            plain = fitted(*start, "magnitude", epochs)
            yield task, sparsity, 32, "float", seed, accuracy(plain, data)
            for bits in (8, 4):
                after = accuracy(rounded(plain, sparsity, bits), data)
                yield task, sparsity, bits, "rounded after", seed, after
                model = fitted(*start, Quantized(bits=bits), epochs)
                found = accuracy(model, data)
                yield task, sparsity, bits, "trained for it", seed, found


def others(file, task):
    """Return the rows of other tasks that a file has."""
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return [row for row in csv.reader(opened) if row[0] not in (COLUMNS[0], task)]


def main():
    """Write one row for each network, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=TASKS, default="sklearn:digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.8, 0.95])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    found = []
    given = arguments.seeds, arguments.sparsities, arguments.epochs
    for row in rows(arguments.data, *given):
        found.append(row)
        print(*row, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "quantized_training.csv"
    lines = [COLUMNS, *others(file, arguments.data), *found]
    with file.open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(lines)
    for kind in dict.fromkeys(row[:4] for row in found):
        values = [row[5] for row in found if row[:4] == kind]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(*kind, f"{statistics.mean(values):.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()
