"""Compares LiteRT, ONNX Runtime, OpenVINO and TensorFlow on one network, as files.

    python benchmarks/runtimes.py [--sparsity 0.95] [--epochs 8] [--out docs/results]

LeNet-300-100 is trained on MNIST, dense and pruned. `kip.export(target="any")` makes,
runs and times all files of each. It needs the extras data, onnx, openvino and quantize.
Run it on a quiet machine.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import keras

import keras_invprune as kip
from keras_invprune.exporting.planner.table import columns
from keras_invprune_lab.data import load
from keras_invprune_lab.models import mlp

COLUMNS = (
    "network",
    "file",
    "bytes",
    "gzip bytes",
    "ms",
    "low ms",
    "high ms",
    "accuracy",
    "verdict",
    "reason",
)
TEXTS = (0, 1, 8, 9)  # columns that are aligned to the left


def trained(data, seed, sparsity, epochs):
    """Return the network, dense if `sparsity` is 0, else pruned while it trains."""
    keras.utils.set_random_seed(seed)
    model = mlp(data.x_train.shape[1:], data.classes, (300, 100))
    if sparsity:
        model = kip.prune(model, sparsity, schedule="gradual")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.002), loss)
    model.fit(data.x_train, data.y_train, batch_size=128, epochs=epochs, verbose=0)
    return kip.strip_pruning(model) if sparsity else model


def rows(network, found):
    """Yield a row for each file, by COLUMNS."""
    for row in sorted(found.files, key=lambda row: row.size):
        times = ["", "", ""]
        if row.is_right:
            times = [f"{t:.4f}" for t in (row.milliseconds, row.low, row.high)]
        score = "" if row.score is None else f"{100 * row.score:.2f}"
        size, zipped = ("" if b is None else b for b in (row.bytes, row.gzip_bytes))
        yield network, row.name, size, zipped, *times, score, row.verdict, row.reason


def main():
    """Write a row for each file, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sparsity", type=float, default=0.95)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    data = load("tfds:mnist", arguments.seed)
    test = data.x_test, data.y_test
    target = kip.Target("any", rounds=arguments.rounds)
    found = []
    for sparsity in (0.0, arguments.sparsity):
        model = trained(data, arguments.seed, sparsity, arguments.epochs)
        network = f"{sparsity:.0%} pruned" if sparsity else "dense"
        with tempfile.TemporaryDirectory() as folder:
            planned = kip.export(model, Path(folder) / "best", data=test, target=target)
        found += rows(network, planned)
        print(network, *planned.notes, planned.versions, sep="\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "runtimes.csv").open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([COLUMNS, *found])
    lines = [COLUMNS, *([str(cell) for cell in row] for row in found)]
    print(columns(lines, texts=TEXTS))


if __name__ == "__main__":
    main()
