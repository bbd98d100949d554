"""Which allocation should `pattern="units"` have if none is given?

    python benchmarks/unit_allocations.py --seeds 0   # all allocations
    python benchmarks/unit_allocations.py --seeds 1 2 --parts macs shares \
        --allocations global uniform lamp             # the best two, and "global"
    python benchmarks/unit_allocations.py --tables    # train nothing

A task is a data set with a network. For each seed, the network is trained once, and
every pruning starts from it: trained networks are what users prune, and with the same
start and the same batches, networks differ in nothing but the allocation. Units are
pruned gradually in the first half of ten epochs, the other half is fine-tuning. The
parts are

- "shares": dependency groups, by magnitude; the same share of units is removed. At two
  of the shares, `connections` are pruned as well, by plain magnitude in one ranking,
  until the kernels have as many weights that are not zero as with "uniform";
- "macs": the same with a budget, so that all networks are left with the same MACs;
- "alone": the units of each weight by themselves, `Units(tied=False)`;
- "taylor": as "shares", by a score of the loss rather than of the weights.

Accuracy is in percent, on validation rows and on test rows. Only the former choose.
`macs` and `weights` are the shares that `keras_invprune.compact` leaves, `least` is the
least share of units that a layer keeps. Seeds of an allocation that are finished are
read from unit_allocations.csv.
"""

import argparse
import functools
import itertools
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from keras import layers
from ledger import finished, rows, write
from scipy.stats import rankdata, wilcoxon

import keras_invprune as kip
from keras_invprune.allocation import Budget, global_topk
from keras_invprune.patterns import Units
from keras_invprune_lab.bench.statistics import holm
from keras_invprune_lab.data import load
from keras_invprune_lab.models import blocks, mlp, small_convnet

EPOCHS, PRUNED_EPOCHS, UPDATES = 20, 10, 5
DENSE_RATE, RATE, BATCH = 2e-3, 1e-3, 32
VALIDATION, IMAGES, TEST_IMAGES = 0.2, 3000, 2000
DENSE, FINALISTS = "dense", ("global", "uniform", "lamp")
CONNECTIONS, CONNECTED = "connections", (0.5, 0.9)  # shares of units to compare at
FIELDS = ("part", "task", "seed", "removed", "allocation", "macs", "weights", "least")
FIELDS += ("validation", "test")


def l2_normalized(scores, sparsity):
    """Rank scores over the root of the sum of their family's squares.

    Source:
        Molchanov et al. 2017, Pruning convolutional neural networks for resource
        efficient inference (1611.06440), section 2.2, "normalization".
    """
    norms = {key: np.linalg.norm(values) or 1.0 for key, values in scores.items()}
    return global_topk({key: s / norms[key] for key, s in scores.items()}, sparsity)


ALLOCATIONS = {
    "global": "global",
    "uniform": "uniform",
    "lamp": "lamp",
    "class_distributed": "class_distributed",
    "l2_normalized": l2_normalized,
}
PARTS = {  # shares to remove, and choices of pruning
    "shares": ((0.3, 0.5, 0.7, 0.9), {"pattern": Units()}),
    "macs": ((0.5, 0.8), {"pattern": Units()}),
    "alone": ((0.5, 0.9), {"pattern": Units(tied=False)}),
    "taylor": ((0.7,), {"pattern": Units(), "score": "taylor"}),
}


def residual(shape, classes):
    """Make a stem and two residual blocks, the second one with twice the filters."""
    inputs = keras.Input(shape)
    x = _through(inputs, blocks.block(blocks.conv(16, 3), "stem"))
    for filters, stride in ((16, 1), (32, 2)):
        name = f"block_{filters}"
        y = _through(x, blocks.block(blocks.conv(filters, 3, stride), f"{name}_a"))
        y = _through(y, blocks.block(blocks.conv(filters, 3), f"{name}_b")[:2])
        if stride > 1:
            across = blocks.block(blocks.conv(filters, 1, stride), f"{name}_c")[:2]
            x = _through(x, across)
        x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def strided(shape, classes):
    """Make three convolutions of stride 2 with BatchNorm, for images of 32 pixels."""
    hidden = []
    for filters in (16, 32, 64):
        hidden += blocks.block(blocks.conv(filters, 3, 2), f"conv_{filters}")
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(classes, name="logits")]
    return keras.Sequential([keras.Input(shape), *hidden, *ends])


def normed(shape, classes):
    """Make four Dense layers of falling widths with BatchNorm."""
    hidden = []
    for units in (256, 128, 64, 32):
        hidden += blocks.block(blocks.dense(units), f"hidden_{units}")
    logits = layers.Dense(classes, name="logits")
    return keras.Sequential([keras.Input(shape), *hidden, logits])


def _through(x, sequence):
    for layer in sequence:
        x = layer(x)
    return x


SMALL = functools.partial(mlp, units=(256, 128))
EVEN = functools.partial(mlp, units=(128, 128, 128))
TASKS = {
    "digits-mlp": ("sklearn:digits", SMALL),
    "digits-convnet": ("sklearn:digits", small_convnet),
    "digits-residual": ("sklearn:digits", residual),
    "mfeat-factors-mlp": ("openml:mfeat-factors", EVEN),
    "segment-mlp": ("openml:segment", EVEN),
    "car-normed": ("openml:car", normed),
    "cnae-9-normed": ("openml:cnae-9", normed),
    "mnist-mlp": ("tfds:mnist", mlp),
    "cifar10-strided": ("tfds:cifar10", strided),
}


@functools.cache
def _whole(name):
    return load(name)


@functools.cache
def rows_of(name, seed):
    """Return the data of a seed; of large sets of images, some rows."""
    if not name.startswith("tfds:"):
        return load(name, seed, VALIDATION)
    data, random = _whole(name), np.random.default_rng(seed)
    drawn = random.permutation(len(data.x_train))[:IMAGES]
    train, valid = np.split(drawn, [round((1 - VALIDATION) * IMAGES)])
    return data._replace(
        x_train=data.x_train[train],
        y_train=data.y_train[train],
        x_valid=data.x_train[valid],
        y_valid=data.y_train[valid],
        x_test=data.x_test[:TEST_IMAGES],
        y_test=data.y_test[:TEST_IMAGES],
    )


def fitted(model, data, seed, epochs, rate):
    """Train a model by Adam along a cosine, in full batches, and return it."""
    keras.utils.set_random_seed(seed)
    steps = len(data.x_train) // BATCH
    decay = keras.optimizers.schedules.CosineDecay(rate, steps * epochs)
    model.compile(
        keras.optimizers.Adam(decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps,
        jit_compile=False,  # compiling takes longer than the training
    )
    count = steps * BATCH
    fit = {"batch_size": BATCH, "epochs": epochs, "verbose": 0}
    model.fit(data.x_train[:count], data.y_train[:count], **fit)
    return model


@functools.cache
def start(task, seed):
    """Return the trained network that all prunings of a seed begin with."""
    name, make = TASKS[task]
    data = rows_of(name, seed)
    keras.utils.set_random_seed(seed)
    model = make(data.x_train.shape[1:], data.classes)
    return fitted(model, data, seed, EPOCHS, DENSE_RATE)


def pruned(task, seed, sparsity, **choices):
    """Return the network under its masks, fine-tuned."""
    share = 1 - sparsity.macs if isinstance(sparsity, Budget) else sparsity
    schedule = kip.schedules.Gradual(share, 0.0, 0.5, UPDATES)
    model = kip.prune(start(task, seed), sparsity, schedule=schedule, **choices)
    return fitted(model, rows_of(TASKS[task][0], seed), seed, PRUNED_EPOCHS, RATE)


def row_of(part, task, seed, removed, allocation, model):
    """Return one row, see `FIELDS`; a network that is not pruned is "dense"."""
    is_pruned = isinstance(model, kip.PrunedModel)
    left = kip.compaction.plan(kip.strip_pruning(model) if is_pruned else model)
    data = rows_of(TASKS[task][0], seed)
    shares = {
        "macs": left.macs[1] / left.macs[0],
        "weights": left.parameters[1] / left.parameters[0],
        "least": least(model.masks.values()) if is_pruned else 1.0,
    }
    found = {
        "validation": 100 * accuracy(model, data.x_valid, data.y_valid),
        "test": 100 * accuracy(model, data.x_test, data.y_test),
    }
    known = part, task, seed, removed, allocation
    return dict(zip(FIELDS, known, strict=False)) | {
        name: round(value, 4) for name, value in (shares | found).items()
    }


def accuracy(model, x, y) -> float:
    """Return the share of right answers."""
    return float((np.argmax(model(x, training=False), -1) == y).mean())


def least(masks) -> float:
    """Return the least share of outputs that a kernel keeps.

    Args:
        masks: Of kernels whose last axis is that of their outputs.
    """
    kept = [np.asarray(m).any(tuple(range(len(m.shape) - 1))) for m in masks]
    return float(min(outputs.mean() for outputs in kept))


def density(model) -> float:
    """Return the share of weights that are not zero in the kernels of a model."""
    found = [w for w in kip.strip_pruning(model).get_weights() if w.ndim > 1]
    return sum(map(np.count_nonzero, found)) / sum(w.size for w in found)


def measure(part, task, seed, allocation):
    """Yield the rows of one allocation, at all shares of a part."""
    removals, choices = PARTS[part]
    if allocation == DENSE:
        yield row_of(part, task, seed, 0.0, DENSE, start(task, seed))
        return
    for removed in removals:
        target = Budget(macs=round(1 - removed, 4)) if part == "macs" else removed
        chosen = {"allocation": ALLOCATIONS[allocation], **choices}
        model = pruned(task, seed, target, **chosen)
        yield row_of(part, task, seed, removed, allocation, model)
        if (part, allocation) == ("shares", "uniform") and removed in CONNECTED:
            every = {"select": lambda key, layer: True}
            model = pruned(task, seed, 1 - density(model), **every)
            yield row_of(part, task, seed, removed, CONNECTIONS, model)


def key_of(row) -> tuple:
    """Return what is measured at once."""
    return row["part"], row["task"], int(row["seed"]), row["allocation"]


def means(table, part, names, figure="validation") -> dict:
    """Return means of a part over the seeds that all the allocations have.

    Args:
        table: Rows, see `FIELDS`.
        part: Name of the part.
        names: Names of the allocations.
        figure: Name of the column.

    Returns:
        ``{(task, removed): {allocation: mean}}``, without cells that lack one of them.
    """
    seeds: dict = defaultdict(lambda: defaultdict(dict))
    for row in table:
        if row["part"] == part and row["allocation"] in names:
            cell = seeds[row["task"], float(row["removed"])]
            cell[row["seed"]][row["allocation"]] = float(row[figure])
    found = {}
    for cell, by_seed in seeds.items():
        whole = [by_name for by_name in by_seed.values() if len(by_name) == len(names)]
        if whole:
            found[cell] = {
                name: float(np.mean([by_name[name] for by_name in whole]))
                for name in names
            }
    return found


def compared(cells, other="global") -> dict[str, dict]:
    """Compare allocations over the cells of a part.

    Args:
        cells: As `means` returns.
        other: The allocation that the others are compared with.

    Returns:
        ``{allocation: figures}``: its mean rank (1 is best), and its mean lead over the
        other one in points. Then the cells in which it leads, is equal and is behind,
        and the p of Wilcoxon's signed-rank test over the tasks, with Holm's correction
        for all allocations. A task counts once, with its mean over the shares, which
        are not independent.
    """
    names = [*next(iter(cells.values()))]
    ranks = np.mean([rankdata([-by[n] for n in names]) for by in cells.values()], 0)
    tests = holm([_p(by_task(cells, name, other)) for name in names])
    found = {}
    for name, rank, p in zip(names, ranks, tests, strict=True):
        leads = [by[name] - by[other] for by in cells.values()]
        signs = np.sign(np.round(leads, 6)).tolist()
        found[name] = {
            "rank": float(rank),
            "lead": float(np.mean(leads)),
            "wins": signs.count(1),
            "ties": signs.count(0),
            "losses": signs.count(-1),
            "p": p,
        }
    return found


def by_task(cells, name, other) -> list[float]:
    """Return one allocation's mean lead over another for each task."""
    leads = defaultdict(list)
    for (task, _), by_name in cells.items():
        leads[task].append(by_name[name] - by_name[other])
    return [float(np.mean(of_task)) for of_task in leads.values()]


def _p(leads):
    return float(wilcoxon(leads).pvalue) if np.any(leads) else None


def show(table):
    """Print the comparisons of each part, and the means over its tasks."""
    for part, (removals, _) in PARTS.items():
        for names in ([*ALLOCATIONS], [*FINALISTS]):
            cells = means(table, part, names)
            if not cells:
                continue
            tasks = len({task for task, _ in cells})
            for other in ("global", "uniform"):
                print(f"\n{part}, over {other!r}: {tasks} tasks")
                for name, figures in compared(cells, other).items():
                    print(f"  {name:18}", *(_short(v) for v in figures.values()))
            for figure in FIELDS[5:]:
                by_cell = means(table, part, names, figure)
                for removed in removals:
                    mine = [by for (_, r), by in by_cell.items() if r == removed]
                    average = (np.mean([by[n] for by in mine]) for n in names)
                    print(f"  {figure:10} {removed}", *map(_short, average))


def _short(value) -> str:
    return f"{'':>9}" if value is None else f"{value:9.4g}"


def main():
    """Train what is missing, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument(
        "--allocations", nargs="+", choices=ALLOCATIONS, default=[*ALLOCATIONS]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--tables", action="store_true", help="train nothing")
    given = parser.parse_args()
    file = given.out / "unit_allocations.csv"
    found = finished(file, key_of)
    groups = itertools.product(given.seeds, given.tasks, given.parts)
    for seed, task, part in () if given.tables else groups:
        for allocation in (DENSE, *given.allocations):
            key = part, task, seed, allocation
            if key not in found:
                found[key] = list(measure(*key))
                write(found, file, FIELDS)
                print(*key, flush=True)
        keras.backend.clear_session()
    show(rows(file))


if __name__ == "__main__":
    main()
