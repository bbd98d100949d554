"""Compares training for 4 or 8 bits with rounding afterwards, on pruned networks.

    python benchmarks/quantized_training.py [--data sklearn:digits] [--seeds 0 1 2 3 4]

A network is pruned gradually by magnitude. "float" is what comes out, and "rounded
after" is its rounding. "trained for it" is pruned under `Quantized`. Accuracy is in
percent of the test rows. Rows that are in the file are not measured again.
"""

import argparse
from pathlib import Path

import keras
from ledger import finished, mean_and_spread, write

import keras_invprune as kip
from keras_invprune.scores import Quantized
from keras_invprune_lab.data import load
from keras_invprune_lab.models import mlp

# By name: the hidden units, and the number of rows of a batch.
TASKS = {"sklearn:digits": ((32,), 32), "tfds:mnist": ((300, 100), 128)}
FIELDS = ("data", "sparsity", "epochs", "bits", "trained", "seed", "accuracy")


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


def measure(task, sparsity, epochs, seed):
    """Return the rows of a seed, see `FIELDS`."""
    data = load(task, seed)
    given = task, data, seed, sparsity
    plain = fitted(*given, "magnitude", epochs)
    found = [(32, "float", accuracy(plain, data))]
    for bits in (8, 4):
        after = rounded(plain, sparsity, bits)
        found.append((bits, "rounded after", accuracy(after, data)))
        model = fitted(*given, Quantized(bits=bits), epochs)
        found.append((bits, "trained for it", accuracy(model, data)))
    about = {"data": task, "sparsity": sparsity, "epochs": epochs, "seed": seed}
    names = "bits", "trained", "accuracy"
    return [about | dict(zip(names, each, strict=True)) for each in found]


def measured(row):
    """Return what is measured at once."""
    return row["data"], float(row["sparsity"]), int(row["epochs"]), int(row["seed"])


def main():
    """Measure what is missing, write the table, and print means with spreads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=TASKS, default="sklearn:digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.8, 0.95])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    file = asked.out / "quantized_training.csv"
    found = finished(file, measured)
    kinds = {}
    for sparsity in asked.sparsities:
        for seed in asked.seeds:
            key = asked.data, sparsity, asked.epochs, seed
            if key not in found:
                found[key] = measure(asked.data, sparsity, asked.epochs, seed)
                write(found, file, FIELDS)
            for row in found[key]:
                kind = sparsity, row["bits"], row["trained"]
                kinds.setdefault(kind, []).append(float(row["accuracy"]))
    for kind, values in kinds.items():
        print(*kind, *mean_and_spread(values))


if __name__ == "__main__":
    main()
