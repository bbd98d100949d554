"""How long does a fine-tuning step take after compaction, next to a masked one?

    python benchmarks/compact_steps.py [--pairs 15] [--calls 10]

LeNet-300-100 is IUNet's at 95 %, which benchmarks/compact_lenet.py leaves in --folder.
The ConvNet trains for an epoch on MNIST, then half of the units of each layer but the
head are pruned at once (`pattern="units"`). Each is measured under its masks, stripped,
and compacted, with all inputs and with those that are alive.

The step is the compiled train function alone, with XLA and Adam, on one batch of 128 in
memory. Each step is timed next to a masked one, which comes first and second in turn,
so that the ratio is valid while other programs run. The ratio of a second masked model
shows what error remains. Processor time is less affected by other programs than wall
time.
"""

import argparse
import csv
import os
import platform
from pathlib import Path

import keras
import numpy as np
from compact_lenet import file_of
from step_cost import BATCH, compiled, paired, step_of

import keras_invprune as kip
from keras_invprune_lab.data import tfds_images
from keras_invprune_lab.models import small_convnet

SPARSITY, UNITS = 0.95, 0.5
KINDS = ("masked again", "stripped", "compact", "compact, inputs picked")
FIELDS = (
    *("network", "model", "parameters", "ms", "ratio", "ratio_low", "ratio_high"),
    *("cpu_ratio", "cpu_ratio_low", "cpu_ratio_high"),
)


def lenet(data, folder):
    """Return functions that make IUNet's network under masks, and the stripped one."""
    file = file_of(folder, 0, SPARSITY)
    if not file.exists():
        raise SystemExit(f"{file} is not there. Run benchmarks/compact_lenet.py first.")
    stripped = keras.models.load_model(file)

    def masked():  # the smallest weights are the zeros, so the masks are the same
        model = compiled(kip.prune(stripped, SPARSITY), 1)
        model.prune_to(SPARSITY)
        return model

    return masked, stripped


def convnet(data, folder):
    """Return the same of a ConvNet without half of its units."""
    keras.utils.set_random_seed(0)
    plain = compiled(small_convnet(data.x_train.shape[1:], data.classes), 1)
    plain.fit(data.x_train, data.y_train, batch_size=BATCH, verbose=0)

    def masked():
        options = {"pattern": "units", "allocation": "uniform"}
        model = compiled(kip.prune(plain, UNITS, **options), 1)
        model.prune_to(UNITS)
        return model

    return masked, kip.strip_pruning(masked())


NETWORKS = {"LeNet-300-100, 95 %": lenet, "ConvNet, half of the units": convnet}


def rows_of(network, data, arguments) -> list[dict]:
    """Return a row for each kind of model of one network."""
    masked, stripped = NETWORKS[network](data, arguments.folder)
    pairs, calls = arguments.pairs, arguments.calls
    batch = data.x_train[:BATCH], data.y_train[:BATCH]
    models = [
        masked(),
        stripped,
        kip.compact(stripped),
        kip.compact(stripped, inputs="gather"),
    ]
    models = dict(zip(KINDS, models, strict=True))
    for model in list(models.values())[1:]:
        compiled(model, 1)
    steps = {kind: step_of(model, batch) for kind, model in models.items()}
    times = paired(step_of(masked(), batch), steps, pairs, calls)
    return [row_of(network, kind, models[kind], times[kind] / calls) for kind in KINDS]


def row_of(network, kind, model, times) -> dict:
    """Return one row from seconds [pairs, 2 (masked, other), 2 (wall, processor)]."""
    shares = np.percentile(times[:, 1] / times[:, 0], (50, 25, 75), 0).T.round(3)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {
        **{"network": network, "model": kind, "parameters": weights},
        "ms": round(1e3 * float(np.median(times[:, 1, 0])), 3),
        **dict(zip(FIELDS[4:], shares.ravel().tolist(), strict=True)),
    }


def write(rows, arguments):
    """Write the rows as CSV and as Markdown."""
    with open(arguments.out / "compact_steps.csv", "w", newline="") as stream:
        table = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    lines = [
        "# A step of fine-tuning after compaction",
        "",
        f"`python benchmarks/compact_steps.py --pairs {arguments.pairs} --calls "
        f"{arguments.calls}`: batches of {BATCH}, Adam, XLA, Keras {keras.__version__},"
        f" {os.cpu_count()} cores ({platform.machine()}). Ratios to the masked step "
        f"next to it: median of {arguments.pairs} pairs of {arguments.calls} steps, "
        "with quartiles, of wall time and of processor time (cpu). Parameters are the "
        "trainable ones.",
        "",
        f"| {' | '.join(field.replace('_', ' ') for field in FIELDS)} |",
        f"|---|---|{'---:|' * (len(FIELDS) - 2)}",
        *(f"| {' | '.join(str(row[field]) for field in FIELDS)} |" for row in rows),
    ]
    (arguments.out / "compact_steps.md").write_text("\n".join(lines) + "\n")


def main():
    """Measure both networks; write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--calls", type=int, default=10, help="in each half of a pair")
    parser.add_argument("--folder", type=Path, default=Path("build/compact"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    data, rows = tfds_images("mnist"), []
    for network in NETWORKS:
        rows += rows_of(network, data, arguments)
        print(*rows[-len(KINDS) :], sep="\n", flush=True)
    write(rows, arguments)


if __name__ == "__main__":
    main()
