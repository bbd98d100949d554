"""Can every network of keras.applications be pruned, stripped and exported?

    python benchmarks/applications.py [--only MobileNet ResNet50] [--minutes 6]

Each network has random weights, five classes and the smallest input it takes. It is
pruned to a sparsity of 0.5, trained for two steps and stripped. The logits of the
stripped and the pruned network are compared on the same images. One network of each
family is exported, and all three files are compared with Keras. Differences are shares
of the spread of the logits, since random networks differ in scale. Each network runs in
a separate process, so that its memory can be measured. Finished networks are lines of
applications.csv and are not run again.
"""

import argparse
import inspect
import json
import operator
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ledger import finished, write

FIELDS = ("network", "size", "parameters", "difference", "exported", "seconds", "gb")
SIZES = (32, 48, 64, 71, 75, 96, 128, 224, 331)  # the smallest valid one is used
# The smallest network of each family.
EXPORTED = {
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
}


def networks() -> list[str]:
    """Return the names of all networks of keras.applications."""
    import keras

    members = vars(keras.applications).items()
    return [name for name, make in members if inspect.isfunction(make)]


def build(name):
    """Return the network for the smallest input it takes."""
    import keras

    make, refused = getattr(keras.applications, name), None
    for size in SIZES:
        try:
            options = {"weights": None, "classes": 5, "classifier_activation": None}
            return make(input_shape=(size, size, 3), **options), size
        except ValueError as error:
            refused = error
    raise refused


def relative(difference, logits) -> float:
    """Return a difference as a share of the spread of the logits.

    Raises:
        ValueError: If the logits are all equal or not finite.
    """
    spread = float(logits.max() - logits.min())
    if not 0 < spread < float("inf"):
        raise ValueError(f"the logits have a spread of {spread}")
    return float(difference) / spread


def check_plain(model, x, y):
    """Raise ValueError if plain Keras, trained the same way, has no finite logits."""
    import keras
    import numpy as np

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-4), loss)
    model.fit(x, y, batch_size=4, verbose=0)
    if not np.isfinite(model.predict(x, verbose=0)).all():
        raise ValueError("plain Keras, trained alike, gives NaN")


def measure(name) -> dict:
    """Return one row of the table, measured in this process."""
    import keras
    import numpy as np

    import keras_invprune as kip

    keras.utils.set_random_seed(0)
    begin = time.monotonic()
    model, size = build(name)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (8, size, size, 3)).astype("float32")
    pruned = kip.prune(model, 0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.SGD(1e-4), loss)
    # For two images with maps of one pixel, plain Keras gives NaN in EfficientNet.
    pruned.fit(x, np.arange(8) % 5, batch_size=4, verbose=0)
    if not np.isfinite(pruned.predict(x, verbose=0)).all():
        check_plain(model, x, np.arange(8) % 5)
    final = kip.strip_pruning(pruned)
    difference = relative(
        np.abs(final.predict(x, verbose=0) - pruned.predict(x, verbose=0)).max(),
        pruned.predict(x, verbose=0),
    )
    exported = ""
    if name in EXPORTED:
        with tempfile.TemporaryDirectory() as folder:
            files = kip.export(final, Path(folder) / "files", data=x).files
        worst = max(file["max_abs_error"] for file in files.values())
        exported = relative(worst, final.predict(x, verbose=0))
    return {
        "network": name,
        "size": size,
        "parameters": model.count_params(),
        "difference": difference,
        "exported": exported,
        "seconds": round(time.monotonic() - begin, 1),
        "gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def attempt(script, row, minutes) -> dict:
    """Return a row measured by a script in a separate process, or why it failed.

    Args:
        script: The file of a benchmark; its option --measure takes the values of `row`.
        row: What tells the row apart.
        minutes: The time at most.
    """
    command = [sys.executable, script, "--measure", *row.values()]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * minutes
        )
    except subprocess.TimeoutExpired:
        return {**row, "difference": f"not in {minutes} minutes"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return {**row, "difference": lines[-1][:160]}
    return json.loads(done.stdout.splitlines()[-1])


def write_page(rows, out):
    """Write the table as Markdown."""
    import keras
    import tensorflow as tf

    lines = [
        "# keras.applications, pruned, stripped and exported",
        "",
        f"`python benchmarks/applications.py`: Keras {keras.__version__}, TensorFlow "
        f"{tf.__version__}, {os.cpu_count()} cores ({platform.machine()}). Difference: "
        "the greatest between logits of the stripped and the pruned network. Exported: "
        "the greatest between one of the three files and Keras. Both are shares of the "
        "spread of the logits. Memory: of the process.",
        "",
        "| network | pixels | parameters | difference | exported | seconds | GB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [str(row.get(field, "")) for field in FIELDS[1:]]
        if cells[0]:  # otherwise, the row says why there are no figures
            cells[1] = f"{int(cells[1]):,}"
            cells[2:4] = [f"{float(cell):.1g}" if cell else "" for cell in cells[2:4]]
        lines.append(f"| {row['network']} | {' | '.join(cells)} |")
    (out / "applications.md").write_text("\n".join(lines) + "\n")


def main():
    """Run the missing networks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of networks")
    parser.add_argument("--minutes", type=float, default=6.0, help="for each at most")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    file = given.out / "applications.csv"
    found = finished(file, operator.itemgetter("network"))
    for name in given.only or networks():
        if name in found:
            continue
        found[name] = [attempt(__file__, {"network": name}, given.minutes)]
        print(*found[name], flush=True)
        write(found, file, FIELDS)
    write_page([row for each in found.values() for row in each], given.out)


if __name__ == "__main__":
    main()
