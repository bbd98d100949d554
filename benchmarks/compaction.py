"""How much smaller and faster are networks of keras.applications after compaction?

    python benchmarks/compaction.py [--only MobileNetV2 ResNet50] [--minutes 10]

Each network has random weights, five classes and the smallest input it takes. Either
half of the units of each kernel, or 90 % of the connections, are set to zero, except
those of the head. Batch normalization gets random statistics, so that dead units are
constants that are not zero. The network is compacted, which compares the outputs, and
both are exported for LiteRT. The difference is the greatest between both models' logits
on the same images, as a share of their spread. Each row is measured in a separate
process; finished rows are lines of compaction.csv and are not run again.
"""

import argparse
import csv
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from applications import EXPORTED, attempt, build, relative

FIELDS = (
    *("network", "zeros", "size", "parameters", "parameters_after", "macs"),
    *("macs_after", "ms", "ms_after", "difference", "seconds", "gb", "gb_model"),
)
# What the page of results shows; the others are the sanity suite.
SHOWN = ("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "MobileNetV2", "ResNet50")
RUNS = 50  # of a file, for the median


def make_sparse(model, zeros, seed=0):
    """Set units or connections to zero, and draw what batch normalization has seen."""
    import numpy as np

    from keras_invprune.graph.prunable import head_layers
    from keras_invprune.graph.weights import kernels, weights_by_key

    rng = np.random.default_rng(seed)
    weights = weights_by_key(model)
    found, heads = kernels(weights), {id(x) for x in head_layers(model, weights)}
    for key, (layer, variable) in weights.items():
        if key.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif key.endswith(("beta", "moving_mean")):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif key in found and id(layer) not in heads:
            axes = 2 if "depthwise" in key else 1  # those that hold output channels
            shape = variable.shape if zeros == "connections" else variable.shape[-axes:]
            share = 0.9 if zeros == "connections" else 0.5
            variable.assign(variable.numpy() * (rng.random(shape) >= share))


def latency(model, x) -> float:
    """Return the median milliseconds of one image in LiteRT, on one thread."""
    import keras_invprune as kip
    from keras_invprune.reporting.report import milliseconds

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "files"
        kip.export(model, out, data=x, formats=("tflite",), batch_size=1)
        found = milliseconds(out / "model.tflite", model, x, RUNS)
    return round(found["median"], 3)


def measure(name, zeros) -> dict:
    """Return one row of the table, measured in this process."""
    import keras
    import numpy as np

    import keras_invprune as kip

    keras.utils.set_random_seed(0)
    model, size = build(name)
    make_sparse(model, zeros)
    x = np.random.default_rng(0).uniform(0, 255, (8, size, size, 3)).astype("float32")
    expected = model.predict(x, verbose=0)
    planned = kip.compaction.plan(model)
    before, begin = _gigabytes(), time.monotonic()
    small = kip.compact(model, data=x)
    seconds, after = time.monotonic() - begin, _gigabytes()
    found = np.abs(small.predict(x, verbose=0) - expected).max()
    return {
        "network": name,
        "zeros": zeros,
        "size": size,
        "parameters": planned.parameters[0],
        "parameters_after": planned.parameters[1],
        "macs": planned.macs[0],
        "macs_after": planned.macs[1],
        "ms": latency(model, x),
        "ms_after": latency(small, x),
        "difference": relative(found, expected),
        "seconds": round(seconds, 1),
        "gb": round(after - before, 3),
        "gb_model": round(4 * planned.parameters[0] / 2**30, 3),
    }


def _gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def write_page(rows, out):
    """Write the table as Markdown."""
    import keras
    import tensorflow as tf

    lines = [
        "# keras.applications, compacted",
        "",
        f"`python benchmarks/compaction.py`: Keras {keras.__version__}, TensorFlow "
        f"{tf.__version__}, {os.cpu_count()} cores ({platform.machine()}). Zeros: half "
        "of the units, or 90 % of the connections. Difference: the greatest between "
        "logits before and after, as a share of their spread. Milliseconds: LiteRT, "
        "one thread, median. Seconds and GB: of `compact`, in addition to the model's.",
        "",
        f"| {' | '.join(field.replace('_', ' ') for field in FIELDS)} |",
        f"|---|---|{'---:|' * (len(FIELDS) - 2)}",
    ]
    for row in rows:
        cells = [str(row.get(field, "")) for field in FIELDS]
        lines.append(f"| {' | '.join(cells)} |")
    (out / "compaction.md").write_text("\n".join(lines) + "\n")


def main():
    """Run the missing rows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of networks")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each at most")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(*given.measure)))
        return
    file = given.out / "compaction.csv"
    rows = list(csv.DictReader(open(file, newline=""))) if file.exists() else []
    done = {(row["network"], row["zeros"]) for row in rows}
    names = given.only or [*SHOWN, *sorted(EXPORTED - set(SHOWN))]
    for name, zeros in [(n, z) for n in names for z in ("units", "connections")]:
        if (name, zeros) in done:
            continue
        row = {"network": name, "zeros": zeros}
        rows.append(attempt(__file__, row, given.minutes))
        print(rows[-1], flush=True)
        with open(file, "w", newline="") as stream:
            table = csv.DictWriter(stream, FIELDS)
            table.writeheader()
            table.writerows(rows)
    write_page(rows, given.out)


if __name__ == "__main__":
    main()
