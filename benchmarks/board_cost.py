"""Measures the share of a training's time that the TensorBoard callbacks take.

    python benchmarks/board_cost.py [--fits 5] [--epochs 5]

LeNet-300-100 is trained by `prune_for_invariance` on random data of MNIST's size, with
Keras's TensorBoard callback and ours at their default frequency. Each of their hooks is
timed. The first epoch, which compiles, is left out; the others include pruning. A share
within one training is robust on a busy machine, while two separate trainings differed
by 20 %. What happens once, after the last epoch (the report and its files), has its own
column.
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
from ledger import median_and_range

import keras_invprune as kip
from keras_invprune_lab.models import mlp

ROWS, SHAPE, CLASSES, BATCH, SPARSITY = 60_000, (28, 28, 1), 10, 128, 0.95
HOOKS = [
    f"on_{what}_{when}"
    for what in ("epoch", "train_batch", "test_batch", "test", "train")
    for when in ("begin", "end")
]
TARGET = "≤ 5"


def timed(cls):
    """Return a subclass that adds up the seconds in each hook of `cls`, by name."""

    def timing(name):
        def hook(self, *args, **kwargs):
            begin = time.perf_counter()
            getattr(super(made, self), name)(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - begin

        return hook

    base = keras.callbacks.Callback
    own = [name for name in HOOKS if getattr(cls, name) is not getattr(base, name)]
    made = type(cls.__name__, (cls,), {name: timing(name) for name in own})
    return made


class Clock(keras.callbacks.Callback):
    """Discards times before the end of the first epoch; must be the last callback."""

    def __init__(self, callbacks):
        super().__init__()
        self.callbacks = callbacks

    def on_epoch_end(self, epoch, logs=None):
        """Start the clock at the end of the first epoch."""
        self.last = time.perf_counter()
        if epoch == 0:
            self.begin = self.last
            for callback in self.callbacks:
                callback.seconds = {}


def fit(data, epochs):
    """Run one `fit`.

    Returns:
        ``{callback: (share of the epochs' time, seconds at the end)}``, and the
        seconds of an epoch.
    """
    model = kip.prune_for_invariance(mlp(SHAPE, CLASSES), SPARSITY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, 0.9), loss, metrics=["accuracy"])
    with tempfile.TemporaryDirectory() as folder:
        kinds = (keras.callbacks.TensorBoard, kip.PruningBoard)
        callbacks = [timed(kind)(folder) for kind in kinds]
        for callback in callbacks:
            callback.seconds = {}
        clock = Clock(callbacks)
        options = {"batch_size": BATCH, "epochs": epochs, "verbose": 0}
        model.fit(*data, callbacks=[*callbacks, clock], **options)
    found = {}
    for callback in callbacks:
        end = callback.seconds.pop("on_train_end", 0.0)
        share = sum(callback.seconds.values()) / (clock.last - clock.begin)
        found[type(callback).__name__] = share, end
    return found, (clock.last - clock.begin) / (epochs - 1)


def page(fits, epochs, found, seconds):
    """Return the table as Markdown."""
    lines = [
        "# The cost of TensorBoard",
        "",
        f"`python benchmarks/board_cost.py --fits {fits} --epochs {epochs}`: "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} "
        f"cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}; "
        f"{np.median(seconds):.1f} s an epoch. Medians, the least and the most.",
        "",
        "| callback | share of the epochs' time, % | least | most | s once, at the end "
        "| target, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, pairs in found.items():
        shares, ends = np.array(pairs).T
        cells = median_and_range(100 * shares, (0, 100))
        cells += [f"{np.median(ends):.2f}", TARGET if name == "PruningBoard" else ""]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Measure; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    data = rng.random((ROWS, *SHAPE), "float32"), rng.integers(0, CLASSES, ROWS)
    found, seconds = {}, []
    for _ in range(arguments.fits):
        pairs, epoch = fit(data, arguments.epochs)
        seconds.append(epoch)
        for name, pair in pairs.items():
            found.setdefault(name, []).append(pair)
        print(pairs, flush=True)
    text = page(arguments.fits, arguments.epochs, found, seconds)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "board_cost.md").write_text(text)


if __name__ == "__main__":
    main()
