"""Compares dense, OMP and IUNet on MNIST with LeNet-300-100 and equal budgets.

    python benchmarks/mnist_lenet.py [--seeds 0 1 2] [--out docs/results]
    python benchmarks/mnist_lenet.py --dataset fashion_mnist --sparsity 0.95
    python benchmarks/mnist_lenet.py --optimizer adam       # what it costs to use Adam
    python benchmarks/mnist_lenet.py --held-out --seeds 10  # for tuning

One search of each method serves all sparsities: it is trained once, and its final state
is pruned, rewound and fine-tuned for each sparsity separately, as one `fit` per
sparsity would do. OMP is the same pipeline without small initialization and without the
invariance objective. Every network, including the dense one, gets the same number of
epochs and batches, and the same learning-rate schedule in each phase. IUNet has the
package's defaults: κ = 0.5, λ = 0.3, τ = 1, labels, the image and a moved view
(`views.images()`), both supervised.

The last epoch counts, and nothing is selected on the test set. With `--held-out`, a
sixth of the training set replaces the test set. Rows in the CSV file are not trained
again.
"""

import argparse
import os
import platform
import tempfile
import time
import warnings
from pathlib import Path

import keras
import ledger

import keras_invprune as kip
from keras_invprune_lab.data import tfds_images
from keras_invprune_lab.data.base import Data
from keras_invprune_lab.models import mlp
from keras_invprune_lab.training.files import write_csv
from keras_invprune_lab.training.optimizers import optimizer_for

SPARSITIES = (0.9, 0.95, 0.98)
BATCH = 128
HELD_OUT = 10_000
ADAM_RATE = 2e-3
FIGURES = ("accuracy", "shift", "scale", "rotation")
FIELDS = ("method", "sparsity", "seed", "epochs", *FIGURES)


def views():
    """Return new views, so that every network sees the same transformations."""
    return {
        "shift": kip.views.RandomShift(0.1, seed=0),
        "scale": kip.views.RandomScale((0.8, 1.2), seed=0),
        "rotation": kip.views.RandomRotation(15, seed=0),
    }


def optimizer(name, shape, steps, rate=None):
    """Return SGD or Adam, with the same cosine decay over one phase."""
    if name == "sgd":
        return optimizer_for(shape, steps, rate)
    decay = keras.optimizers.schedules.CosineDecay(ADAM_RATE, steps)
    return keras.optimizers.Adam(decay)


def compile_for(model, data, name, epochs, rate=None):
    """Compile the model; rewinding restarts the learning-rate schedule."""
    steps = -(-len(data.x_train) // BATCH)
    model.compile(
        optimizer(name, data.x_train.shape[1:], steps * epochs, rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=min(67, steps),
    )


def measure(model, data, method, sparsity, seed):
    """Return one row of the table."""
    found = kip.consistency(model, data.x_test, views(), data.y_test)
    row = {"method": method, "sparsity": sparsity, "seed": seed, **found}
    print(row, flush=True)
    return row


def dense_rows(data, name, seed, epochs):
    """Return the row of the dense network, trained for the epochs of both phases."""
    keras.utils.set_random_seed(seed)
    model = mlp(data.x_train.shape[1:], data.classes)
    compile_for(model, data, name, 2 * epochs)
    model.fit(
        data.x_train, data.y_train, batch_size=BATCH, epochs=2 * epochs, verbose=0
    )
    return [measure(model, data, "dense", 0.0, seed)]


def pruned_rows(data, name, method, seed, epochs, sparsities, folder):
    """Return a row for each sparsity, all from the end of a single search."""
    found = pruned(data, name, method, seed, epochs, sparsities, folder)
    return [measure(model, data, method, share, seed) for share, model in found]


def pruned(
    data,
    name,
    method,
    seed,
    epochs,
    sparsities,
    folder,
    units=(300, 100),
    rate=None,
    **choices,
):
    """Yield (sparsity, stripped model), all from the end of a single search."""
    found = Path(folder) / f"{method}_{seed}.weights.h5"
    keras.utils.set_random_seed(seed)
    steps = -(-len(data.x_train) // BATCH)
    network = mlp(data.x_train.shape[1:], data.classes, units)
    for index, sparsity in enumerate(sparsities):
        at = kip.schedules.OneShot(sparsity, at=epochs * steps)
        options = {"schedule": at, "rewind": "first_epoch", **choices}
        if method == "iunet":
            model = kip.prune_for_invariance(network, sparsity, **options)
        else:
            model = kip.prune(network, sparsity, **options)
        compile_for(model, data, name, epochs, rate)
        keras.utils.set_random_seed(seed)
        if not index:
            search(model, data, epochs)
            model.save_weights(found)
        else:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(found)
        fit = {"batch_size": BATCH, "verbose": 0, "epochs": 2 * epochs}
        model.fit(data.x_train, data.y_train, initial_epoch=epochs, **fit)
        yield sparsity, kip.strip_pruning(model)


def search(model, data, epochs):
    """Train to the step before pruning."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch + 1 == epochs

    with warnings.catch_warnings():
        # Stopping before the target sparsity is intended.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=BATCH,
            epochs=2 * epochs,
            verbose=0,
            callbacks=[Stop()],
        )


def without_test(data):
    """Return the training data, a part of which replaces the test data."""
    return Data(
        data.x_train[:-HELD_OUT],
        data.y_train[:-HELD_OUT],
        data.x_train[-HELD_OUT:],
        data.y_train[-HELD_OUT:],
    )


def stem(arguments) -> str:
    """Return the name of the result files, without their endings."""
    name = f"{arguments.dataset}_lenet"
    name += "" if arguments.optimizer == "sgd" else f"_{arguments.optimizer}"
    return name + ("_held_out" if arguments.held_out else "")


def finished(arguments) -> list[dict]:
    """Return the rows of the CSV file, which are not trained again.

    Raises:
        ValueError: If they were trained for other numbers of epochs.
    """
    file = arguments.out / f"{stem(arguments)}.csv"
    rows = ledger.rows(file)
    if {row["epochs"] for row in rows} - {str(arguments.epochs)}:
        raise ValueError(
            f"{file} has rows of other numbers of epochs. Choose another --out."
        )
    kinds = {"method": str, "seed": int, "epochs": int}
    return [{k: kinds.get(k, float)(v) for k, v in row.items()} for row in rows]


def of(rows, method, seed) -> list[dict]:
    """Return the rows of one method and seed."""
    return [row for row in rows if (row["method"], row["seed"]) == (method, seed)]


def write(rows, out, arguments, seconds):
    """Write all rows as CSV, and means with spreads as Markdown."""
    epochs, optimizer = arguments.epochs, arguments.optimizer
    tested = "a sixth of the training set" if arguments.held_out else "test set"
    out.mkdir(parents=True, exist_ok=True)
    name = stem(arguments)
    table = [{"epochs": epochs, **row} for row in rows]
    write_csv(out / f"{name}.csv", table, FIELDS)
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        f"# {arguments.dataset}, LeNet-300-100, {optimizer.upper()}",
        "",
        f"`python benchmarks/mnist_lenet.py --dataset {arguments.dataset} --sparsity "
        f"{' '.join(map(str, arguments.sparsity))} --optimizer {optimizer} "
        f"--epochs {epochs} "
        f"{'--held-out ' * arguments.held_out}--seeds {' '.join(map(str, seeds))}`: "
        f"{epochs} + {epochs} epochs, seeds {seeds}, {seconds / 60:.0f} minutes on "
        f"{os.cpu_count()} cores ({platform.machine()}). Means in %, {tested}, last "
        "epoch; spread: standard deviation (ddof = 1).",
        "",
        f"| method | sparsity | {' | '.join(ledger.with_spreads(FIGURES))} |",
        "|---|---:|" + "---:|" * 2 * len(FIGURES),
    ]
    groups = sorted({(row["sparsity"], row["method"]) for row in rows})
    for sparsity, method in groups:
        group = [r for r in rows if (r["sparsity"], r["method"]) == (sparsity, method)]
        cells = [method, f"{sparsity:g}"]
        for field in FIGURES:
            cells += ledger.mean_and_spread([100 * row[field] for row in group])
        lines.append(f"| {' | '.join(cells)} |")
    (out / f"{name}.md").write_text("\n".join(lines) + "\n")


def main():
    """Run all methods for all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="an image set of TFDS")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[*SPARSITIES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15, help="of each phase")
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--held-out", action="store_true", help="do not touch the test")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    data, begin, rows = tfds_images(arguments.dataset), time.time(), []
    data = without_test(data) if arguments.held_out else data
    name, epochs = arguments.optimizer, arguments.epochs
    rows = finished(arguments)
    for seed in arguments.seeds:
        if not of(rows, "dense", seed):
            rows += dense_rows(data, name, seed, epochs)
        for method in ("omp", "iunet"):
            done = {row["sparsity"] for row in of(rows, method, seed)}
            left = [s for s in arguments.sparsity if s not in done]
            if left:
                with tempfile.TemporaryDirectory() as folder:
                    rows += pruned_rows(data, name, method, seed, epochs, left, folder)
            write(rows, arguments.out, arguments, time.time() - begin)


if __name__ == "__main__":
    main()
