"""Does layer sparsity find the depth of a teacher?

    python benchmarks/layer_teacher.py [--first 6] [--seeds 20] [--epochs 20]

A teacher is a random ReLU net of depth 3 with 10 inputs and 16 units. It answers 4,000
rows for training, 2,000 for validation and 2,000 for the test; noise has 0.3 of the
answers' standard deviation. A student of depth 8 and the same width goes along a path
of strengths. At each point, layers that became linear are merged, and the rest is
refitted without the penalty. The point is chosen on validation rows: the shallowest
whose loss is within 2 % of the best of the path.

Next to it, a net of depth 3 is trained alone for as many epochs as the whole path and a
refit. It and each refit keep the weights of their best epoch on validation rows. Depth
counts all Dense layers. Losses are mean squared errors against noisy answers, whose
lowest value is 0.09.

Seeds 0 to 5 have chosen the settings, so the measured seeds begin at 6. An interrupted
run resumes: seeds that are in the table are not measured again.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from ledger import finished, write

from keras_invprune.pruning.layer_path import layer_path
from keras_invprune_lab.data.teacher import FEATURES, UNITS, teacher_network

STRENGTHS = (3.0, 4.0, 5.0, 6.0, 8.0, 12.0)
DEPTH, ALONE, BATCH, RATE, NOISE, WITHIN = 8, 3, 100, 3e-3, 0.3, 1.02
FIELDS = ("seed", "strength", "depth", "validation_loss", "test_loss")


def rows(seed):
    """Return (x, y) for training, validation and the test."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(8000, FEATURES)).astype("float32")
    answers = teacher_network(1000 + seed, 1)(x)
    answers = (answers - answers.mean()) / answers.std()
    y = (answers + NOISE * random.normal(size=answers.shape)).astype("float32")
    return [(x[a:b], y[a:b]) for a, b in ((0, 4000), (4000, 6000), (6000, 8000))]


def network(depth, seed):
    """Return a compiled ReLU net."""
    keras.utils.set_random_seed(seed)
    hidden = [
        keras.layers.Dense(UNITS, "relu", kernel_initializer="he_normal")
        for _ in range(depth - 1)
    ]
    layers = [keras.Input((FEATURES,)), *hidden, keras.layers.Dense(1)]
    return compiled(keras.Sequential(layers))


def compiled(model):
    """Compile a model for its training."""
    model.compile(keras.optimizers.Adam(RATE), "mse", steps_per_execution=40)
    return model


def fitted(model, data, epochs):
    """Train without a penalty; return the losses on validation and test rows."""
    train, valid, test = data
    best = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
    fit = {"epochs": epochs, "batch_size": BATCH, "verbose": 0}
    model.fit(*train, validation_data=valid, callbacks=[best], **fit)
    return [model.evaluate(*each, verbose=0) for each in (valid, test)]


def measure(seed, epochs):
    """Yield the rows of one seed; that of the net trained alone has no strength."""
    data = train, valid, _ = rows(seed)
    longest = (len(STRENGTHS) + 1) * epochs
    alone = fitted(network(ALONE, seed), data, longest)
    yield dict(zip(FIELDS, (seed, "", ALONE, *alone), strict=True))
    fit = {"epochs": epochs, "batch_size": BATCH, "seed": seed}
    student = network(DEPTH, seed)
    path = layer_path(student, STRENGTHS, *train, validation_data=valid, **fit)
    for index, point in enumerate(path.points):
        merged = path.merged(index).model
        keras.utils.set_random_seed(seed)
        losses = fitted(compiled(merged), data, epochs)
        values = seed, point.strength, point.depth, *losses
        yield dict(zip(FIELDS, values, strict=True))


def compared(lines):
    """Return (depth, its loss over that of the net trained alone) of one seed."""
    alone, *points = ({k: float(v or 0) for k, v in line.items()} for line in lines)
    limit = WITHIN * min(point["validation_loss"] for point in points)
    near = [point for point in points if point["validation_loss"] <= limit]
    best = min(near, key=lambda point: (point["depth"], point["validation_loss"]))
    return int(best["depth"]), best["test_loss"] / alone["test_loss"]


def main():
    """Measure; print and write the table after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=6, help="the first seed")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "layer_teacher.csv"
    found = finished(file)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        if seed not in found:
            found[seed] = list(measure(seed, arguments.epochs))
            write(found, file, FIELDS)
            keras.backend.clear_session()
        depth, ratio = compared(found[seed])
        print(f"seed {seed}: depth {depth}, {ratio:.3f} of the loss", flush=True)
    reached = [compared(lines) for lines in found.values()]
    near = sum(depth <= 4 and ratio <= 1.05 for depth, ratio in reached)
    print(f"{near} of {len(reached)} at depth 4 or less within 5 %")


if __name__ == "__main__":
    main()
