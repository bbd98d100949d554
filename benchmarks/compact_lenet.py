"""How much smaller and faster is LeNet-300-100 after IUNet's pruning and compaction?

    python benchmarks/compact_lenet.py [--seeds 0 1 2] [--epochs 15]

IUNet trains on MNIST as in benchmarks/mnist_lenet.py: one search for each seed, then
pruning to each sparsity, and fine-tuning. The stripped network is compacted, once with
all of its inputs and once with those that are alive (`inputs="gather"`). Each network
becomes a LiteRT file, with all weights ("dense") or without zeros ("sparse"). The files
run in turn, in rounds of single images on one thread; milliseconds are the median of
the rounds' medians, with quartiles.

The difference is the greatest between the logits of the whole test set and those of the
stripped network, as a share of the logits' spread. A finished seed is in
compact_lenet.csv and is not run again. The stripped networks stay in --folder, which
benchmarks/compact_steps.py reads.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

import keras
import numpy as np
from applications import relative
from ledger import finished, mean_and_spread, with_spreads, write
from mnist_lenet import pruned

import keras_invprune as kip
from compaction import timed
from keras_invprune.saving import replaced
from keras_invprune_lab.data import tfds_images

SPARSITIES = (0.95, 0.98)
FORMS = {  # (which network, options of its file)
    "stripped, dense": ("stripped", ()),
    "stripped, sparse": ("stripped", ("sparsity",)),
    "compact, dense": ("keep", ()),
    "compact, sparse": ("keep", ("sparsity",)),
    "compact, inputs picked, dense": ("gather", ()),
    "compact, inputs picked, sparse": ("gather", ("sparsity",)),
}
FIELDS = (
    *("seed", "sparsity", "epochs", "form", "inputs", "units_1", "units_2"),
    *("parameters", "bytes", "ms", "ms_low", "ms_high", "accuracy", "difference"),
)
SHOWN = ("inputs", "units_1", "units_2", "parameters", "bytes", "ms", "accuracy")
ROUNDS, CALLS = 40, 500


def file_of(folder, seed, sparsity) -> Path:
    """Return where a stripped network is kept."""
    return Path(folder) / f"lenet-{sparsity}-seed{seed}.keras"


def trained(data, seed, epochs, folder):
    """Yield (sparsity, stripped network); train those that are not in the folder."""
    files = {sparsity: file_of(folder, seed, sparsity) for sparsity in SPARSITIES}
    if all(file.exists() for file in files.values()):
        for sparsity, file in files.items():
            yield sparsity, keras.models.load_model(file)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as states:
        options = ("sgd", "iunet", seed, epochs, SPARSITIES, states)
        for sparsity, model in pruned(data, *options):
            with replaced(files[sparsity]) as new:
                model.save(new)
            yield sparsity, model


def widths(model) -> list[int]:
    """Return how many inputs and units the hidden layers have."""
    shapes = [layer.kernel.shape for layer in model.layers if layer.weights]
    return [shapes[0][0], shapes[0][1], shapes[1][1]]


def rows_of(stripped, data) -> list[dict]:
    """Return a row for each form of one network."""
    models = {"stripped": stripped}
    for inputs in ("keep", "gather"):
        models[inputs] = kip.compact(stripped, inputs, data=data.x_test)
    expected = stripped.predict(data.x_test, batch_size=1000, verbose=0)
    forms = {form: (models[name], options) for form, (name, options) in FORMS.items()}
    found = timed(forms, data.x_test, ROUNDS, CALLS)
    rows = []
    for form, (model, _) in forms.items():
        logits = model.predict(data.x_test, batch_size=1000, verbose=0)
        size, times = found[form]
        low, middle, high = np.percentile(times, (25, 50, 75)).round(5)
        rows.append(
            {
                "form": form,
                **dict(zip(FIELDS[4:7], widths(model), strict=True)),
                "parameters": model.count_params(),
                "bytes": size,
                **{"ms": middle, "ms_low": low, "ms_high": high},
                "accuracy": round(100 * np.mean(logits.argmax(1) == data.y_test), 2),
                "difference": relative(np.abs(logits - expected).max(), expected),
            }
        )
    return rows


def write_page(rows, out, arguments):
    """Write means over the seeds as Markdown, with standard deviations."""
    seeds = sorted({int(row["seed"]) for row in rows})
    lines = [
        "# LeNet-300-100 on MNIST, pruned by IUNet and compacted",
        "",
        f"`python benchmarks/compact_lenet.py --epochs {arguments.epochs} --seeds "
        f"{' '.join(map(str, seeds))}`: Keras {keras.__version__}, {os.cpu_count()} "
        f"cores ({platform.machine()}). Means over the seeds; spread: standard "
        "deviation (ddof = 1). Milliseconds: LiteRT, one image, one thread, files in "
        f"turn, medians of {ROUNDS} rounds of {CALLS} runs. Difference: the "
        "greatest of all seeds.",
        "",
        f"| sparsity | file | {' | '.join(with_spreads(SHOWN)).replace('_', ' ')} "
        "| difference |",
        f"|---|---|{'---:|' * (2 * len(SHOWN) + 1)}",
    ]
    groups = dict.fromkeys((row["sparsity"], row["form"]) for row in rows)
    for sparsity, form in sorted(groups, key=lambda one: float(one[0])):
        group = [r for r in rows if (r["sparsity"], r["form"]) == (sparsity, form)]
        cells = [sparsity, form]
        for field in SHOWN:
            digits = {"ms": 4, "accuracy": 2}.get(field, 0)
            values = [float(row[field]) for row in group]
            cells += mean_and_spread(values, f",.{digits}f")
        cells.append(f"{max(float(row['difference']) for row in group):.1g}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    (out / "compact_lenet.md").write_text("\n".join(lines) + "\n")


def main():
    """Measure the missing seeds, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15, help="of each phase")
    parser.add_argument("--folder", type=Path, default=Path("build/compact"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "compact_lenet.csv"
    found, data = finished(file), tfds_images("mnist")
    for seed in [seed for seed in arguments.seeds if seed not in found]:
        found[seed] = []
        for sparsity, model in trained(data, seed, arguments.epochs, arguments.folder):
            about = {"seed": seed, "sparsity": sparsity, "epochs": arguments.epochs}
            found[seed] += [about | row for row in rows_of(model, data)]
            print(*found[seed][-len(FORMS) :], sep="\n", flush=True)
        write(found, file, FIELDS)
    write_page(
        [row for rows in found.values() for row in rows], arguments.out, arguments
    )


if __name__ == "__main__":
    main()
