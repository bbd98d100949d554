"""How many of 8 hidden layers does MNIST need, and what is gained without them?

    python benchmarks/layer_mnist.py [--seeds 0 1 2]

An MLP of 8 hidden layers of 256 units is trained for two epochs. Then, in each of 8
rounds of two epochs, the last hidden layer is penalized until it is linear, and merged
into the next one. The network after each merge is refitted without the penalty for six
epochs. The final depth is chosen on validation rows, a sixth of the training set: the
shallowest within 0.1 points of the dense network.

Next to it are the same network without a penalty and networks of the final depth that
are trained alone: without a penalty, and, by the same proximal step, with ℓ1 or with
the group lasso of units, whose dead units are then removed. Each has as many epochs as
the longest chain of rounds and its refit.

The strength of a layer of n weights is 0.375·√n: of two that were tried on validation
rows of seed 10, the one that also removes the first layers. Those of ℓ1 and the lasso
lie between one that removed little and one that cost accuracy on these rows.
Milliseconds are LiteRT's for one row, the median of three medians; all networks of a
seed take turns. Accuracy is in percent. An interrupted run resumes after its last
finished seed.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from ledger import finished, write

import keras_invprune as kip
from keras_invprune.graph.active import removable_layers
from keras_invprune.proximal import L1, NegativeParts, Proximal, UnitLasso
from keras_invprune.reporting.report import milliseconds
from keras_invprune_lab.data import load

HIDDEN, UNITS, BATCH, RATE, WITHIN = 8, 256, 256, 1e-3, 0.1
WARM, EPOCHS, REFIT, STRENGTH = 2, 2, 6, 0.375
LONGEST = WARM + HIDDEN * EPOCHS + REFIT
OTHERS = {"l1": (L1, 0.1), "unit lasso": (UnitLasso, 1.0)}
FIELDS = ("method", "seed", "layers", "parameters", "nonzero")
FIELDS += ("validation_accuracy", "test_accuracy", "milliseconds")
PATH = "layer sparsity"


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


def train(model, data, epochs, operator=None, falling=True):
    """Train by Adam, with a cosine over the epochs and a proximal step on request."""
    rate = RATE
    if falling:
        steps = epochs * (len(data[0][0]) // BATCH)
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    optimizer = keras.optimizers.Adam(rate)
    if operator is not None:
        optimizer = Proximal(optimizer, operator)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=10)
    model.fit(*data[0], epochs=epochs, batch_size=BATCH, verbose=0)
    return model


def shorter(seed, data):
    """Yield ever shallower networks, each after its refit."""
    model = train(network(HIDDEN, seed), data, WARM, falling=False)
    for _ in range(HIDDEN):
        last = removable_layers(model, nonnegative_inputs=True)[-1:]
        if not last:
            return
        size = model.get_layer(last[0]).count_params()
        operator = NegativeParts.of(model, {last[0]: STRENGTH * size**0.5})
        train(model, data, EPOCHS, operator, falling=False)
        merged = kip.merge_layers(model, nonnegative_inputs=True)
        model = merged.model
        if merged.merges:
            copy = keras.models.clone_model(model)
            copy.set_weights(model.get_weights())
            yield train(copy, data, REFIT)


def alone(hidden, seed, data):
    """Yield (method, network) of that many hidden layers, trained alone."""
    yield "alone", train(network(hidden, seed), data, LONGEST)
    for method, (kind, strength) in OTHERS.items():
        model = network(hidden, seed)
        names = [layer.name for layer in model.layers[:-1]]
        train(model, data, LONGEST, kind(dict.fromkeys(names, strength)))
        yield method, kip.compact(model) if kind is UnitLasso else model


def described(method, seed, model, data):
    """Return a line of the table without its milliseconds."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    nonzero = sum(np.count_nonzero(layer.kernel) for layer in layers)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    shares = [model.evaluate(*part, verbose=0, batch_size=1000)[1] for part in data[1:]]
    figures = model.count_params(), nonzero, *(100 * share for share in shares)
    return dict(zip(FIELDS, (method, seed, len(layers), *figures), strict=False))


def chosen(lines):
    """Return the line of the final depth among those of one seed."""
    dense = next(line for line in lines if line["method"] == "dense")
    limit = float(dense["validation_accuracy"]) - WITHIN
    points = [line for line in lines if line["method"] == PATH]
    near = [p for p in points if float(p["validation_accuracy"]) >= limit]
    return min(near or [dense], key=lambda line: int(line["layers"]))


def timed(models, x):
    """Return LiteRT's milliseconds of each model, which take turns."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(index) for index in range(len(models))]
        for file, model in zip(files, models, strict=True):
            kip.export(model, file, data=x, formats=("tflite",), batch_size=1)
        for _ in range(3):
            pairs = zip(files, models, strict=True)
            turns = [
                milliseconds(f / "model.tflite", m, x, runs=2000) for f, m in pairs
            ]
            found.append([turn["median"] for turn in turns])
    return np.median(found, axis=0)


def measure(seed, data):
    """Return the lines of one seed."""
    dense = train(network(HIDDEN, seed), data, LONGEST)
    found = [("dense", dense), *((PATH, model) for model in shorter(seed, data))]
    lines = [described(method, seed, model, data) for method, model in found]
    others = list(alone(chosen(lines)["layers"] - 1, seed, data))
    lines += [described(method, seed, model, data) for method, model in others]
    times = timed([model for _, model in found + others], data[2][0][:200])
    for line, ms in zip(lines, times, strict=True):
        line["milliseconds"] = ms
    return lines


def main():
    """Measure; print and write the table after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "layer_mnist.csv"
    found, data = finished(file), rows()
    for seed in arguments.seeds:
        if seed not in found:
            found[seed] = measure(seed, data)
            write(found, file, FIELDS)
        for line in (found[seed][0], chosen(found[seed])):
            print(*line.values(), flush=True)


if __name__ == "__main__":
    main()
