"""What the TensorBoard callbacks cost a training, against one without them.

    python benchmarks/board_cost.py [--pairs 5] [--epochs 4]

One `fit` of LeNet-300-100 by `prune_for_invariance` on random data of MNIST's size,
callbacks at their default frequency, beside the same `fit` without them, first and
second in turn. The first epoch, which compiles, is left out. What happens once,
after the last epoch (the report and its files), is timed by itself.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.experiments.models import mlp

ROWS, SHAPE, CLASSES, BATCH, SPARSITY = 60_000, (28, 28, 1), 10, 128, 0.95


class Clock(keras.callbacks.Callback):
    """Times what lies between the ends of the first and the last epoch, and after.

    Keras calls callbacks in their order: this one must come last.
    """

    def on_epoch_end(self, epoch, logs=None):
        """Begins with the second epoch."""
        self.last = time.perf_counter()
        if epoch == 0:
            self.begin = self.last


def without(folder):
    """No callback at all."""
    return []


def with_keras(folder):
    """Keras's own TensorBoard callback."""
    return [keras.callbacks.TensorBoard(folder)]


def with_both(folder):
    """Keras's and ours."""
    return [*with_keras(folder), kip.PruningBoard(folder)]


LABELS = {
    with_keras: "`keras.callbacks.TensorBoard` alone",
    with_both: "with `kip.PruningBoard`",
}


def fit(data, callbacks, epochs):
    """Seconds of the epochs after the first, and of what follows the last."""
    keras.utils.set_random_seed(0)
    model = kip.prune_for_invariance(mlp(SHAPE, CLASSES), SPARSITY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, 0.9), loss, metrics=["accuracy"])
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        model.fit(
            *data,
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
            callbacks=[*callbacks(folder), clock],
        )
        return clock.last - clock.begin, time.perf_counter() - clock.last


def measure(pairs, epochs):
    """``{callbacks: array [pairs, 2 (without, with), 2 (epochs, after)]}``."""
    rng = np.random.default_rng(0)
    data = rng.random((ROWS, *SHAPE), "float32"), rng.integers(0, CLASSES, ROWS)
    times = {callbacks: [] for callbacks in LABELS}
    for pair in range(pairs):
        for callbacks, found in times.items():
            order = [without, callbacks] if pair % 2 else [callbacks, without]
            seconds = {which: fit(data, which, epochs) for which in order}
            found.append((seconds[without], seconds[callbacks]))
            print(callbacks.__name__, found[-1], flush=True)
    return {callbacks: np.array(found) for callbacks, found in times.items()}


def page(times, pairs, epochs):
    """The table as Markdown."""
    lines = [
        "# The cost of TensorBoard",
        "",
        f"`python benchmarks/board_cost.py --pairs {pairs} --epochs {epochs}`: one "
        f"`fit` of {epochs} epochs, the first left out; {pairs} pairs. TensorFlow "
        f"{tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}. Median (quartiles).",
        "",
        "| callbacks | s an epoch | epochs / those without | s once, at the end | "
        "target |",
        "|---|---|---|---|---|",
    ]
    for callbacks, found in times.items():
        ratios = found[:, 1, 0] / found[:, 0, 0]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        epoch, end = np.median(found[:, 1, 0]) / (epochs - 1), np.median(found[:, 1, 1])
        lines.append(
            f"| {LABELS[callbacks]} | {epoch:.2f} | {middle:.3f} ({low:.3f} to "
            f"{high:.3f}) | {end:.2f} | {'≤ 1.05' if callbacks is with_both else ''} |"
        )
    return "\n".join(lines) + "\n"


def main():
    """Measures, prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    pairs, epochs = arguments.pairs, arguments.epochs
    found = page(measure(pairs, epochs), pairs, epochs)
    print(found)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "board_cost.md").write_text(found)


if __name__ == "__main__":
    main()
