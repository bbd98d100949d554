"""How many of 8 hidden layers does MNIST need, and what is gained without them?

    python benchmarks/layer_mnist.py [--seeds 0 1 2] [--epochs 20]

An MLP of 8 hidden layers of 256 units goes along a path of strengths; each point is
merged and refitted. The point is chosen on validation rows, a sixth of the training
set: the shallowest within 0.1 points of the best. Next to it are the same network
without a penalty, trained for as many epochs as a point and its refit; and, by the same
proximal step, ℓ1 and the group lasso of units in the network of the chosen depth,
trained alone.

Milliseconds are LiteRT's median for one row. Accuracy is in percent of the test set. An
interrupted path resumes from its folder.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_invprune as kip
from keras_invprune.proximal import L1, Proximal, UnitLasso
from keras_invprune.reporting.report import milliseconds
from keras_invprune_lab.data import load

STRENGTHS = (32.0, 48.0, 64.0, 80.0, 96.0, 128.0)
HIDDEN, UNITS, BATCH, RATE, WITHIN = 8, 256, 128, 1e-3, 0.001
OTHERS = {"l1": (L1, 0.01), "unit lasso": (UnitLasso, 0.1)}
FIELDS = ("method", "seed", "layers", "parameters", "accuracy", "milliseconds")


def rows():
    """Return (x, y) for training, validation and the test, one row per image."""
    data = load("tfds:mnist", seed=1, validation=1 / 6)
    parts = ("train", "valid", "test")
    pairs = [(getattr(data, f"x_{p}"), getattr(data, f"y_{p}")) for p in parts]
    return [(x.reshape(len(x), -1), y) for x, y in pairs]


def network(hidden, seed):
    """Return an MLP that ends in logits."""
    keras.utils.set_random_seed(seed)
    dense = [
        keras.layers.Dense(UNITS, "relu", kernel_initializer="he_normal")
        for _ in range(hidden)
    ]
    return keras.Sequential([keras.Input((784,)), *dense, keras.layers.Dense(10)])


def compiled(model, epochs, steps, operator=None):
    """Compile with a cosine over the epochs, and the proximal step on request."""
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)
    )
    if operator is not None:
        optimizer = Proximal(optimizer, operator)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=10)
    return model


def accuracy(model, data):
    """Return the accuracy, a share."""
    return model.evaluate(*data, verbose=0, batch_size=1000, return_dict=True)[
        "accuracy"
    ]


def timed(model, data):
    """Return LiteRT's median of milliseconds for one row."""
    few = tuple(part[:200] for part in data)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "exported"
        kip.export(model, out, data=few, formats=("tflite",), batch_size=1)
        return milliseconds(out / "model.tflite", model, few[0], runs=2000)["median"]


def described(method, seed, model, data):
    """Return one row of the table, see `FIELDS`."""
    layers = sum(isinstance(layer, keras.layers.Dense) for layer in model.layers)
    share = 100 * accuracy(model, data[2])
    ms = timed(model, data[2])
    values = method, seed, layers, model.count_params(), share, ms
    return dict(zip(FIELDS, values, strict=True))


def chosen(path, data, fit, steps):
    """Return the refitted model: the shallowest within `WITHIN` of the best."""
    found = []
    for index, point in enumerate(path.points):
        model = compiled(path.merged(index).model, fit["epochs"], steps)
        model.fit(*data[0], **fit)
        found.append((point.depth, index, accuracy(model, data[1]), model))
    best = max(share for _, _, share, _ in found)
    return min(one[:2] + (one[3],) for one in found if one[2] >= best - WITHIN)[2]


def measure(seed, epochs, folder, data):
    """Yield the rows of one seed."""
    steps = len(data[0][0]) // BATCH
    fit = {"epochs": epochs, "batch_size": BATCH, "verbose": 0}
    dense = compiled(network(HIDDEN, seed), 2 * epochs, steps)
    dense.fit(*data[0], **fit | {"epochs": 2 * epochs})
    yield described("dense", seed, dense, data)
    student = compiled(network(HIDDEN, seed), epochs, steps)
    path = kip.layer_path(
        student,
        STRENGTHS,
        *data[0],
        validation_data=data[1],
        nonnegative_inputs=True,  # pixels
        folder=folder / f"seed{seed}",
        seed=seed,
        show=print,
        **fit,
    )
    model = chosen(path, data, fit, steps)
    yield described("layer sparsity", seed, model, data)
    hidden = sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) - 1
    for name, (kind, strength) in OTHERS.items():
        other = network(hidden, seed)
        names = [layer.name for layer in other.layers[:-1]]
        operator = kind(dict.fromkeys(names, strength))
        compiled(other, 2 * epochs, steps, operator)
        other.fit(*data[0], **fit | {"epochs": 2 * epochs})
        yield described(f"{name}, same depth", seed, other, data)


def main():
    """Measure; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("build/layers"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    data, found = rows(), []
    for seed in arguments.seeds:
        for row in measure(seed, arguments.epochs, arguments.folder, data):
            found.append(row)
            print(row, flush=True)
    methods = dict.fromkeys(row["method"] for row in found)
    for method in methods:
        shares = [row["accuracy"] for row in found if row["method"] == method]
        print(f"{method}: {np.mean(shares):.2f} %")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "layer_mnist.csv", "w", newline="") as stream:
        table = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(found)


if __name__ == "__main__":
    main()
