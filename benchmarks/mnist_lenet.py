"""MNIST, LeNet-300-100: dense, OMP and IUNet on equal budgets, over seeds.

    python benchmarks/mnist_lenet.py [--seeds 0 1 2] [--out docs/results]

One search of each method serves all sparsities: it is trained once, and its state at
the end of the search is pruned, rewound and fine-tuned for each sparsity by itself,
as one `fit` per sparsity would. OMP is the same pipeline without small
initialisation and without the invariance objective. Every network, the dense one
too, gets the same number of epochs, batches and the same learning-rate schedule per
phase. The last epoch counts; nothing is selected on the test set.
"""

import argparse
import csv
import platform
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_invprune as kip
from keras_invprune.experiments.data import tfds_images
from keras_invprune.experiments.models import mlp

SPARSITIES = (0.9, 0.95, 0.98)
BATCH = 128
RATE = 2e-3
# λ: with the paper's 1 the contrastive loss outweighs the cross-entropy, which is near
# zero late in the search, and the masks are worse at high sparsity.
WEIGHT = 0.02
FIELDS = ("method", "sparsity", "seed", "accuracy", "shift", "scale", "rotation")


def kinds():
    """Fresh views, so that every network is asked about the same transformations."""
    return {
        "shift": kip.views.RandomShift(0.1, seed=0),
        "scale": kip.views.RandomScale((0.8, 1.2), seed=0),
        "rotation": kip.views.RandomRotation(15, seed=0),
    }


def views():
    """Smaller movements than those of the consistency measured."""
    layers = kip.views
    return keras.layers.Pipeline(
        [
            layers.RandomShift(0.06),
            layers.RandomScale((0.92, 1.08)),
            layers.RandomRotation(8),
        ]
    )


def compile_for(model, epochs, steps):
    """Adam with a cosine decay over one phase: it starts again when rewound."""
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps * epochs)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=min(67, steps),
    )


def measure(model, data, method, sparsity, seed):
    """One row of the table."""
    found = kip.consistency(model, data.x_test, kinds(), data.y_test)
    row = {"method": method, "sparsity": sparsity, "seed": seed, **found}
    print(row, flush=True)
    return row


def dense_rows(data, seed, epochs):
    """The dense network, trained for both phases' epochs."""
    keras.utils.set_random_seed(seed)
    model = mlp((28, 28, 1), 10)
    compile_for(model, 2 * epochs, -(-len(data.x_train) // BATCH))
    model.fit(
        data.x_train, data.y_train, batch_size=BATCH, epochs=2 * epochs, verbose=0
    )
    return [measure(model, data, "dense", 0.0, seed)]


def pruned_rows(data, method, seed, epochs, folder):
    """One search, then each sparsity from its end."""
    found = Path(folder) / f"{method}_{seed}.weights.h5"
    keras.utils.set_random_seed(seed)
    steps = -(-len(data.x_train) // BATCH)
    network = mlp((28, 28, 1), 10)
    rows = []
    for sparsity in SPARSITIES:
        at = kip.schedules.OneShot(sparsity, at=epochs * steps)
        options = {"schedule": at, "rewind": "first_epoch"}
        if method == "iunet":
            objective = kip.Invariance(views(), weight=WEIGHT)
            model = kip.prune_for_invariance(
                network, sparsity, objective=objective, **options
            )
        else:
            model = kip.prune(network, sparsity, **options)
        compile_for(model, epochs, steps)
        keras.utils.set_random_seed(seed)
        if not rows:
            search(model, data, epochs)
            model.save_weights(found)
        else:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(found)
        fit = {"batch_size": BATCH, "verbose": 0, "epochs": 2 * epochs}
        model.fit(data.x_train, data.y_train, initial_epoch=epochs, **fit)
        rows.append(measure(kip.strip_pruning(model), data, method, sparsity, seed))
    return rows


def search(model, data, epochs):
    """Trains up to the step before pruning."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch + 1 == epochs

    with warnings.catch_warnings():
        # It ends before the target sparsity: that is the point.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=BATCH,
            epochs=2 * epochs,
            verbose=0,
            callbacks=[Stop()],
        )


def write(rows, out, epochs, seconds):
    """All rows as CSV, and means with spread as Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "mnist_lenet.csv", "w", newline="") as file:
        table = csv.DictWriter(file, FIELDS)
        table.writeheader()
        table.writerows(rows)
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "# MNIST, LeNet-300-100",
        "",
        f"`python benchmarks/mnist_lenet.py --epochs {epochs} --seeds "
        f"{' '.join(map(str, seeds))}`: {epochs} + {epochs} epochs, seeds {seeds}, "
        f"{seconds / 60:.0f} minutes on {platform.machine()}, CPU. Mean ± standard "
        "deviation (ddof = 1) in %, test set, last epoch.",
        "",
        "| method | sparsity | accuracy | shift | scale | rotation |",
        "|---|---|---|---|---|---|",
    ]
    groups = sorted({(row["sparsity"], row["method"]) for row in rows})
    for sparsity, method in groups:
        group = [r for r in rows if (r["sparsity"], r["method"]) == (sparsity, method)]
        cells = []
        for field in FIELDS[3:]:
            values = 100 * np.array([row[field] for row in group])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.2f} ± {spread:.2f}")
        lines.append(f"| {method} | {sparsity:g} | " + " | ".join(cells) + " |")
    (out / "mnist_lenet.md").write_text("\n".join(lines) + "\n")


def main():
    """Runs all methods for all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20, help="of each phase")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    data, begin, rows = tfds_images("mnist"), time.time(), []
    for seed in arguments.seeds:
        rows += dense_rows(data, seed, arguments.epochs)
        for method in ("omp", "iunet"):
            with tempfile.TemporaryDirectory() as folder:
                rows += pruned_rows(data, method, seed, arguments.epochs, folder)
        write(rows, arguments.out, arguments.epochs, time.time() - begin)


if __name__ == "__main__":
    main()
