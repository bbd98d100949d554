"""Trainings that go on where they stopped, to the same weights."""

import csv
import json
import os
import time
from pathlib import Path

import keras
import tensorflow as tf

from keras_invprune.exporting.folders import check_room, local

CONFIG, PROGRESS, ELAPSED = "config.json", "progress.json", "elapsed.json"
STATE = "state.weights.h5"


def batches(x, y, batch_size, seed, first_epoch, epochs, *, steps=None, augment=None):
    """Batches of shuffled rows, the same in an epoch whenever it is made.

    Args:
        x: Array [n, ...].
        y: Array [n].
        batch_size: Rows in a batch; the last of an epoch may have fewer.
        seed: Of the orders.
        first_epoch: The first epoch wanted, from 0.
        epochs: The number of epochs.
        steps: Batches of an epoch, which is cut off after them; None for all rows.
        augment: None, or ``(rows, key) -> rows`` for each batch of inputs, where the
            key, two integers, is another one for each batch.

    Returns:
        A `tf.data.Dataset` of (x, y) over all those epochs, one after the other.
    """
    x, y = tf.constant(x), tf.constant(y)

    def one_epoch(epoch):
        rows = tf.range(len(x), dtype=tf.int64)
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(rows, key)
        order = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        order = order if steps is None else order.take(steps)
        return order.enumerate(epoch * 2**32)

    def one_batch(number, index):
        inputs = tf.gather(x, index)
        if augment is not None:
            inputs = augment(inputs, tf.stack([tf.constant(seed, tf.int64), number]))
        return inputs, tf.gather(y, index)

    rows = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    rows = rows.map(one_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return rows.prefetch(tf.data.AUTOTUNE)


def execution(steps) -> int:
    """``steps_per_execution``: the more the faster, but an epoch must be whole.

    Keras takes that many batches each time, beyond the end of an epoch, too.
    """
    return max(count for count in range(1, 101) if steps % count == 0)


class Progress(keras.callbacks.Callback):
    """Saves the training's state after each epoch, complete or not at all.

    Args:
        folder: Where to.
        pause: Seconds between two saves, at least; the last epoch is always saved.

    Attributes:
        history: The logs of each epoch so far.
    """

    def __init__(self, folder, pause=0.0):
        super().__init__()
        self.folder = local(folder)
        self.pause = pause
        self.history = []
        self._saved = time.monotonic()

    def restore(self, model) -> int:
        """Loads the last state, if there is one; returns the epochs it has seen."""
        file = self.folder / PROGRESS
        if not file.exists():
            return 0
        self.history = json.loads(file.read_text())
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._weights(len(self.history)))
        return len(self.history)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the state, unless the last one is too young."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append(logs)
        last = epoch + 1 == self.params.get("epochs")
        if last or time.monotonic() - self._saved >= self.pause:
            self.save(epoch + 1)
            self._saved = time.monotonic()

    def save(self, epochs):
        """Writes the state beside the last one, then lets it take its place."""
        check_room(self.folder, state_size(self.model))  # HDF5 fails noisily
        before = [*self.folder.glob("*.weights.h5")]
        new = self.folder / "new.weights.h5"
        self.model.save_weights(new)
        os.replace(new, self._weights(epochs))
        write_json(self.folder / PROGRESS, self.history)
        for file in before:
            if file != self._weights(epochs):
                file.unlink(missing_ok=True)  # one cut short has been replaced

    def _weights(self, epochs):
        return self.folder / f"{epochs}.weights.h5"


def state_size(model) -> float:
    """Megabytes of a saved state, at most: weights, masks, optimizer, snapshot."""
    return 1 + 6 * 4e-6 * model.count_params()


def timed(folder, show) -> tuple:
    """Counts the seconds of a run, those before an interruption too.

    Args:
        folder: Of the unfinished run; `ELAPSED` is written there.
        show: Called after each epoch, with whatever arguments.

    Returns:
        ``(show, seconds)``: one to be called in its place, and the seconds so far.
    """
    file = folder / ELAPSED
    before = json.loads(file.read_text()) if file.exists() else 0.0
    begin = time.monotonic() - before

    def seconds():
        return time.monotonic() - begin

    def shown(*now):
        write_json(file, seconds())
        show(*now)

    return shown, seconds


def write_json(file, content):
    """Writes a file of JSON that is complete whenever it is there."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(new, file)


def write_history(history, file):
    """Writes the logs of all epochs as CSV; empty where an epoch lacks one."""
    names = dict.fromkeys(name for logs in history for name in logs)
    with open(file, "w", newline="") as stream:
        table = csv.DictWriter(stream, ["epoch", *names])
        table.writeheader()
        for epoch, logs in enumerate(history, start=1):
            table.writerow({"epoch": epoch, **logs})


def check_same(config, folder, defaults=None):
    """Raises unless `folder` is not there or has the state of this configuration.

    Args:
        config: ``{name: value}``.
        folder: What may hold the configuration of a run.
        defaults: What a name stands for that is not there: it came in later.

    Raises:
        FileExistsError: It belongs to another one; says what differs.
    """
    file = Path(folder) / CONFIG
    if not file.exists():
        return
    other = _filled(json.loads(file.read_text()), defaults or {})
    names = [name for name in config if other.get(name) != config[name]]
    if names:
        pairs = [f"{n}: {other.get(n)!r} there, {config[n]!r} asked" for n in names]
        raise FileExistsError(
            f"{folder} is of another configuration ({'; '.join(pairs)}). Choose "
            "another --out, or remove it."
        )


def _filled(config, defaults):
    """A configuration with what it lacks, also in the configurations inside it."""
    inside = {
        name: _filled(value, defaults[name])
        for name, value in config.items()
        if isinstance(value, dict) and isinstance(defaults.get(name), dict)
    }
    return {**defaults, **config, **inside}
