"""Is a large pruned network better than a small dense one of the same size?

    python benchmarks/equal_size.py [--data tfds:mnist] [--seeds 0 1 2]
    python benchmarks/equal_size.py --data tfds:cifar10
    python benchmarks/equal_size.py --data openml:adult

Dense networks of several widths are compared with the widest one, pruned by OMP and by
IUNet to several shares. All train with the same optimizer for `--epochs` twice: a
search and a fine-tuning, as in mnist_lenet.py, whose settings are used, but for a rate
of 0.01 on CIFAR-10: at 0.1, dense networks diverge. The pruning is by connections, and
by units. The accuracy is that on the test rows; nothing is selected by it.

`kip.export` makes all files of a network that make sense, with 1,000 training rows.
Among those that lose no more than 0.1 points on these, `bytes` is the size of the
smallest one, and `ms` the median milliseconds of the fastest one, for one row on one
thread. The fastest files of all networks of a seed run in turns for that. `floor` is
the time of a network with two hidden units: what a call costs. Rows of finished seeds
are not trained again.

The last lines are a table of leads: by how many points a pruned network is better than
a dense one of as many bytes, and than one that takes as long. A dense network of any
size is read from a line through the measured ones, over the logarithm of the size; of
one that is worse than a smaller one, the smaller one counts. There is no lead where no
dense network is as small.
"""

import argparse
import math
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from ledger import finished, write
from mnist_lenet import BATCH, compile_for, pruned
from smallest_fastest import File

import keras_invprune as kip
from keras_invprune.exporting.timing import times
from keras_invprune_lab.data import load
from keras_invprune_lab.models import mlp

UNITS = {"tfds:mnist": (300, 100), "tfds:cifar10": (512, 256)}
TABLE = (256, 128)  # units, for all other data sets
EPOCHS = {"tfds:mnist": 15, "tfds:cifar10": 8}
TABLE_EPOCHS = 30
RATES = {"tfds:cifar10": 0.01}  # of the optimizer; others have that of their kind
WIDTHS = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
CONNECTIONS, BY_UNITS = "connections", "units"
SHARES = {CONNECTIONS: (0.8, 0.9, 0.95, 0.98, 0.99), BY_UNITS: (0.5, 0.75, 0.875)}
CHOICES = {
    CONNECTIONS: {},
    BY_UNITS: {"pattern": "units", "allocation": "uniform"},
}
CHOOSING, MAX_LOSS, ROUNDS = 1000, 0.001, 40
FIELDS = (
    *("data", "seed", "epochs", "method", "pattern", "sparsity", "width", "weights"),
    *("accuracy", "bytes", "smallest", "ms", "fastest", "floor"),
)


def dense(data, seed, epochs, units, rate):
    """Return a dense network, trained for the epochs of both phases."""
    keras.utils.set_random_seed(seed)
    model = mlp(data.x_train.shape[1:], data.classes, units)
    compile_for(model, data, "sgd", 2 * epochs, rate)
    fit = {"batch_size": BATCH, "epochs": 2 * epochs, "verbose": 0}
    model.fit(data.x_train, data.y_train, **fit)
    return model


def networks(data, units, epochs, seed, rate):
    """Yield ({what tells it from the others}, plain network)."""
    for width in WIDTHS:
        own = [math.ceil(width * each) for each in units]
        about = {"method": "dense", "pattern": "", "sparsity": 0.0, "width": width}
        yield about, dense(data, seed, epochs, own, rate)
    for pattern, shares in SHARES.items():
        for method in ("omp", "iunet"):
            about = {"method": method, "pattern": pattern, "width": 1.0}
            given = data, "sgd", method, seed, epochs, shares
            with tempfile.TemporaryDirectory() as folder:
                every = pruned(*given, folder, units, rate, **CHOICES[pattern])
                for share, model in every:
                    yield about | {"sparsity": share}, model


def best_files(model, rows) -> tuple[dict, bytes]:
    """Return what is to tell of the best files, and the content of the fastest one."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "files"
        options = {"target": "litert-cpu", "max_loss": MAX_LOSS}
        found = kip.export(model, out, data=rows, **options)
        smallest = min((f for f in found.files if f.is_right), key=lambda f: f.size)
        about = {"bytes": smallest.bytes, "smallest": smallest.name}
        about["fastest"] = found.best.name
        return about, (out / found.best.file).read_bytes()


def measure(name, seed, epochs) -> list[dict]:
    """Return the rows of one seed, see `FIELDS`."""
    data, rows, units = load(name, seed), [], UNITS.get(name, TABLE)
    given = data.x_train[:CHOOSING], data.y_train[:CHOOSING]
    none = mlp(data.x_train.shape[1:], data.classes, (2,))
    files = [File(best_files(none, given[0])[1], data.x_test[:1])]
    for about, model in networks(data, units, epochs, seed, RATES.get(name)):
        found = model.predict(data.x_test, batch_size=1000, verbose=0).argmax(1)
        row = {"data": name, "seed": seed, "epochs": epochs, **about}
        row["weights"] = sum(int((w != 0).sum()) for w in model.get_weights())
        row["accuracy"] = round(100 * float((found == data.y_test).mean()), 2)
        best, content = best_files(model, given)
        files.append(File(content, data.x_test[:1]))
        rows.append(row | best)
        print(rows[-1], flush=True)
    (floor, _, _), *taken = times(files, ROUNDS)
    for row, (median, _, _) in zip(rows, taken, strict=True):
        row |= {"ms": round(median, 6), "floor": round(floor, 6)}
    return rows


def key_of(row) -> tuple:
    """Return what is measured at once."""
    return row["data"], int(row["seed"]), int(row["epochs"])


def leads(rows, size) -> dict[tuple, list[float]]:
    """Return by how many points a pruned network leads, for each seed.

    Args:
        rows: The rows of one data set.
        size: The field that counts as size, "bytes" or "ms".
    """
    found = defaultdict(list)
    for seed in sorted({int(row["seed"]) for row in rows}):
        own = [row for row in rows if int(row["seed"]) == seed]
        dense = [
            (float(row[size]), float(row["accuracy"]))
            for row in own
            if row["method"] == "dense"
        ]
        sizes, accuracies = np.array(sorted(dense)).T
        best = np.maximum.accumulate(accuracies)
        for row in own:
            if row["method"] != "dense" and float(row[size]) >= sizes[0]:
                same = np.interp(np.log(float(row[size])), np.log(sizes), best)
                key = row["method"], row["pattern"], float(row["sparsity"])
                found[key].append(float(row["accuracy"]) - float(same))
    return found


def table(rows) -> str:
    """Return the leads of one data set as a table, with their spread over seeds."""
    by_size = leads(rows, "bytes"), leads(rows, "ms")
    lines = [
        "| method | pattern | removed, % | accuracy, % | kB | lead, points | spread "
        "| µs | lead, points | spread |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups = defaultdict(list)
    for row in rows:
        sizes = float(row["sparsity"]), float(row["width"])
        groups[row["method"], row["pattern"], *sizes].append(row)
    for (method, pattern, sparsity, width), own in groups.items():
        means = {
            field: statistics.mean(float(row[field]) for row in own)
            for field in ("accuracy", "bytes", "ms")
        }
        name = pattern or f"width {width:.3g}"
        cells = [method, name, f"{100 * sparsity:g}", f"{means['accuracy']:.2f}"]
        for found, value in zip(by_size, ("bytes", "ms"), strict=True):
            scaled = means[value] / 1000 if value == "bytes" else 1000 * means[value]
            lead = found.get((method, pattern, sparsity), [])
            cells.append(f"{scaled:.3g}")
            cells.append(f"{statistics.mean(lead):+.2f}" if lead else "")
            cells.append(f"{statistics.stdev(lead):.2f}" if len(lead) > 1 else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="tfds:mnist", help="as in keras-invprune run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of each phase")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file, name = arguments.out / "equal_size.csv", arguments.data
    epochs = arguments.epochs or EPOCHS.get(name, TABLE_EPOCHS)
    found = finished(file, key_of)
    for seed in arguments.seeds:
        key = name, seed, epochs
        if key not in found:
            found[key] = measure(name, seed, epochs)
            write(found, file, FIELDS)
            keras.backend.clear_session()
    print(table([r for own in found.values() for r in own if r["data"] == name]))


if __name__ == "__main__":
    main()
