"""What is left of a residual network on CIFAR-10 within 40 % of its MACs?

    python benchmarks/structured.py [--seeds 0 1 2] [--epochs 8] [--width 32]
    python benchmarks/structured.py --times   # of the same shapes, without training

A residual network is trained for `--epochs`: the dense network. Copies of it are pruned
to `Budget(macs=0.4)` by dependency groups, in multiples of 16, which fill LiteRT's
kernels; and with the same share of units pruned by themselves, `Units(tied=False)`.
Masks are made gradually, by magnitude, in a quarter of `--epochs`; each share is the
same in all families ("uniform"). Then the networks are compacted and trained for the
other epochs. A network of fewer filters with 40 % of the MACs trains from scratch for
twice the epochs. All three learn from the labels and, by distillation, from the dense
network. "dense, as long" is the dense network after `--epochs` more. All rates follow a
cosine. Images are shifted by up to 4 pixels and mirrored.

Milliseconds are LiteRT's for one image on one thread: the files of a seed are run in
turns, ten times, and each has the lowest of its medians. Accuracy is in percent of the
test set. Finished seeds are read from structured.csv, and the finished networks of an
interrupted one from `--work`.

With `--times`, networks of the same shapes and random weights are timed in five rounds,
since only time counts there, and structured_times.csv has what each round has found.
"""

import argparse
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers
from ledger import finished, kept, write

import keras_invprune as kip
from keras_invprune.objectives.distillation import divergence
from keras_invprune.reporting.report import milliseconds
from keras_invprune_lab.data import load

MACS, MULTIPLE, BATCH, RATE, TURNS, ROUNDS = 0.4, 16, 128, 2e-3, 10, 5
PRUNING, END = 1 / 4, 0.8  # of the epochs, and of the steps in these
SHARE = "share.json"  # of units that the groups have lost
WEIGHT, TEMPERATURE = 0.5, 4.0  # of distillation
TAUGHT = 1  # rows with 0 are of an earlier version, without a teacher
FIELDS = ("taught", "width", "epochs", "method", "seed", "parameters", "macs")
FIELDS += ("accuracy", "ms", "kilobytes")
TIMES = ("width", "method", "round", "parameters", "macs", "ms")


def rows():
    """Return (x, y) for training and the test."""
    data = load("tfds:cifar10", seed=0, validation=0.1)
    x = np.concatenate([data.x_train, data.x_valid])
    return (x, np.concatenate([data.y_train, data.y_valid])), (data.x_test, data.y_test)


def network(width, seed):
    """Return three stages of two residual blocks each, which end in logits."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3))
    x = normed(inputs, width, 2, "stem")
    for stage in range(3):
        for block in range(2):
            stride = 2 if stage and not block else 1
            x = residual(x, width * 2**stage, stride, f"block_{stage + 1}_{block + 1}")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def normed(x, filters, stride, name, size=3, activation="relu"):
    """Add a convolution with BatchNormalization."""
    conv = layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, name=name
    )
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(conv(x))
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def residual(x, filters, stride, name):
    """Add two convolutions and what they are added to."""
    y = normed(x, filters, stride, f"{name}_a")
    y = normed(y, filters, 1, f"{name}_b", activation="linear")
    if stride > 1:
        x = normed(x, filters, stride, f"{name}_c", size=1, activation="linear")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


class Moved(keras.utils.PyDataset):
    """Batches of images that are shifted and mirrored, newly in each epoch."""

    def __init__(self, x, y, seed):
        super().__init__()
        self.x, self.y = x, y
        self.random = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        """Return the number of full batches."""
        return len(self.x) // BATCH

    def on_epoch_end(self):
        """Draw the order of the next epoch."""
        self.order = self.random.permutation(len(self.x))

    def __getitem__(self, index):
        """Return a batch, all of whose images are moved alike."""
        chosen = self.order[index * BATCH : (index + 1) * BATCH]
        images = np.pad(self.x[chosen], ((0, 0), (4, 4), (4, 4), (0, 0)))
        top, left = self.random.integers(0, 9, 2)
        images = images[:, top : top + 32, left : left + 32]
        return images[:, :, :: self.random.choice([1, -1])], self.y[chosen]


def trained(model, data, epochs, seed):
    """Train by AdamW along a cosine."""
    batches = Moved(*data, seed)
    rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * len(batches))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, 5e-4), loss, metrics=["accuracy"])
    model.fit(batches, epochs=epochs, verbose=0)
    return model


class Taught(keras.Model):
    """A model that learns from labels and from the class probabilities of another one.

    Args:
        student: The model.
        teacher: The other one. Both return logits.
    """

    def __init__(self, student, teacher):
        super().__init__()
        self.student = student
        vars(self)["_teacher"] = teacher  # untracked, or its weights would decay

    def call(self, x, training=None):
        """Return the logits of the student."""
        return self.student(x, training=training)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        """Return the loss of `kip.Distillation`."""
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        logits = self._teacher(x, training=False)
        far = divergence(logits, y_pred, TEMPERATURE)
        return (1 - WEIGHT) * own + WEIGHT * TEMPERATURE**2 * keras.ops.mean(far)


def taught(model, teacher, data, epochs, seed):
    """Train a model with a teacher, and return it."""
    return trained(Taught(model, teacher), data, epochs, seed).student


def pruned(start, data, epochs, seed, target, **choices):
    """Prune a trained network by units, and return it under its masks."""
    schedule = kip.schedules.Gradual(target, end=END)
    objective = kip.Distillation(start, WEIGHT, TEMPERATURE)
    choices = {"allocation": "uniform", "schedule": schedule, **choices}
    model = kip.prune(start, objective=objective, **choices)
    return trained(model, data, epochs, seed)


def groups_within():
    """Return the choices of pruning by dependency groups, within the budget."""
    return {
        "sparsity": kip.allocation.Budget(macs=MACS),
        "pattern": kip.patterns.Units(round_to=MULTIPLE),
    }


def narrower(width, seed):
    """Return the network of the most filters within the budget."""
    budget = kip.allocation.Budget(macs=MACS)
    limit = MACS * budget.measure(network(width, seed))
    fits = [w for w in range(1, width) if budget.measure(network(w, seed)) <= limit]
    return network(max(fits), seed)


def models(data, width, epochs, seed, folder):
    """Yield (method, plain model); each is trained once and kept in a folder."""
    first = max(1, round(PRUNING * epochs))

    def tuned(model):
        small = kip.compact(kip.strip_pruning(model))
        return taught(small, start, data, epochs - first, seed + 1)

    def tied():
        model = pruned(start, data, first, seed, 1 - MACS, **groups_within())
        groups = model.plan.groups({k: m.shape for k, m in model.masks.items()})
        groups.cost = None  # the share of units, not of MACs
        share = float(groups.removed({k: m.numpy() for k, m in model.masks.items()}))
        (folder / SHARE).write_text(json.dumps(share))
        return tuned(model)

    def apart():
        share = json.loads((folder / SHARE).read_text())
        choices = {"sparsity": share, "pattern": kip.patterns.Units(tied=False)}
        return tuned(pruned(start, data, first, seed, share, **choices))

    def narrow():
        return taught(narrower(width, seed), start, data, 2 * epochs, seed)

    def longer():
        model = keras.models.clone_model(start)
        model.set_weights(start.get_weights())
        return trained(model, data, epochs, seed + 1)

    def dense():
        return trained(network(width, seed), data, epochs, seed)

    start = kept(folder / "dense.keras", dense)
    yield "dense", start
    for name, make in {
        "dependency groups": tied,
        "units by themselves": apart,
        "fewer filters": narrow,
        "dense, as long": longer,
    }.items():
        yield name, kept(folder / f"{name}.keras", make)


def timed(found, x, folder):
    """Return (milliseconds, kilobytes) of each model's file, run in turns."""
    files = []
    for number, model in enumerate(found):
        out = Path(folder) / str(number)
        kip.export(model, out, data=x, formats=("tflite",), batch_size=1)
        files.append(out / "model.tflite")
    turns = [
        [milliseconds(f, m, x)["median"] for f, m in zip(files, found, strict=True)]
        for _ in range(TURNS)
    ]
    return zip(np.min(turns, 0), [f.stat().st_size / 1e3 for f in files], strict=True)


def measure(seed, width, epochs, data, work):
    """Return the rows of one seed, see `FIELDS`."""
    macs = kip.allocation.Budget(macs=1.0)
    train, test = data
    kept_in = work / f"{width}-{epochs}-{seed}"
    kept_in.mkdir(parents=True, exist_ok=True)
    found = dict(models(train, width, epochs, seed, kept_in))
    with tempfile.TemporaryDirectory() as folder:
        costs = timed(list(found.values()), test[0][:64], folder)
    table = []
    for (method, model), (ms, size) in zip(found.items(), costs, strict=True):
        right = model.predict(test[0], batch_size=1000, verbose=0).argmax(1) == test[1]
        values = TAUGHT, width, epochs, method, seed
        values += model.count_params(), macs.measure(model)
        values += 100 * right.mean(), ms, size
        table.append(dict(zip(FIELDS, values, strict=True)))
    return table


def measure_times(width) -> list[dict]:
    """Return the times of networks of the same shapes, whose weights are random."""
    dense = network(width, seed=0)
    choices = {"allocation": "uniform", "schedule": "manual", **groups_within()}
    groups = kip.prune(dense, **choices)
    groups.prune_to(groups.plan.sparsity)
    found = {
        "dense": dense,
        "dependency groups": kip.compact(kip.strip_pruning(groups)),
        "fewer filters": narrower(width, seed=0),
    }
    macs, table = kip.allocation.Budget(macs=1.0), []
    x = np.random.default_rng(0).random((64, 32, 32, 3), np.float32)
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            costs = timed(list(found.values()), x, folder)
        for (method, model), (ms, _) in zip(found.items(), costs, strict=True):
            values = width, method, turn, model.count_params(), macs.measure(model), ms
            table.append(dict(zip(TIMES, values, strict=True)))
    return table


def trained_as(row):
    """Return what tells the trainings of a row from others."""
    names = "taught", "width", "epochs", "seed"
    return tuple(int(row[name]) for name in names)


def main():
    """Measure what is missing; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--times", action="store_true", help="only times, once more")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--work", type=Path, default=Path("build/structured"))
    arguments = parser.parse_args()
    if arguments.times:
        table = {"times": measure_times(arguments.width)}
        write(table, arguments.out / "structured_times.csv", TIMES)
        return
    file, data = arguments.out / "structured.csv", rows()
    found = finished(file, trained_as)
    for seed in arguments.seeds:
        key = TAUGHT, arguments.width, arguments.epochs, seed
        if key not in found:
            given = seed, arguments.width, arguments.epochs, data, arguments.work
            found[key] = measure(*given)
            write(found, file, FIELDS)
            print(*found[key], sep="\n", flush=True)
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
