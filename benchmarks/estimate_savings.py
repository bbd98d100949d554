"""Compares estimated milliseconds with those that are measured after training.

    python benchmarks/estimate_savings.py [--networks mlp blocks ...] [--rounds 20]

Five networks are estimated untrained, then pruned, trained for a few epochs on drawn
rows, and exported. The trained file and the untrained one with drawn masks differ in
where their zeros are. Each row of estimate_savings.csv gives bytes and milliseconds,
estimated and measured, and the ratio of both. Rows of the networks named replace
earlier ones. Run it on a quiet machine: it cannot tell a slow file from a busy
processor.
"""

import argparse
import operator
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers
from ledger import finished, write

import keras_invprune as kip
from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.timing import times

ROWS, EPOCHS, CLASSES = 256, 4, 10
FIELDS = (
    *("network", "pattern", "sparsity", "file"),
    *("estimated_bytes", "bytes", "bytes_ratio"),
    *("estimated_ms", "ms", "ms_ratio"),
)
BLOCKS = kip.patterns.Block((4, 1))


def mlp():
    """Return a network of Dense layers."""
    return keras.Sequential(
        [
            keras.Input((256,)),
            layers.Dense(512, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def convolutional():
    """Return a network of convolutions."""
    return keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES),
        ]
    )


def residual():
    """Return a network in which layers share units."""
    x = keras.Input((256,))
    first = layers.Dense(384, activation="relu")(x)
    second = layers.Add()([first, layers.Dense(384, activation="relu")(first)])
    return keras.Model(x, layers.Dense(CLASSES)(second))


NETWORKS = {
    "mlp": (mlp, "unstructured", 0.9),
    "blocks": (mlp, BLOCKS, 0.9),
    "convolutions": (convolutional, "unstructured", 0.8),
    "filters": (convolutional, "units", 0.5),
    "residual": (residual, "units", 0.75),
}


def trained(model, pattern, share):
    """Return the model, pruned and trained on drawn rows, as it would be exported."""
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, *model.input_shape[1:])).astype("float32")
    y = random.integers(0, CLASSES, ROWS)
    pruned = kip.prune(model, share, pattern=pattern)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("adam", loss)
    pruned.fit(x, y, epochs=EPOCHS, verbose=0)
    final = kip.strip_pruning(pruned)
    return kip.compact(final) if pattern == "units" else final


def measured(model, rounds):
    """Return the bytes and the milliseconds of the sparse float file."""
    with tempfile.TemporaryDirectory() as folder:
        kip.export(model, Path(folder) / "out", formats=("tflite",))
        content = (Path(folder) / "out" / "model.tflite").read_bytes()
    run = litert.runtime(content, delegate=True)
    inputs = converter.inputs(converter.signature(model), rows=1)
    (found,) = times([lambda: run(inputs)], rounds)
    return len(content), found.median


def row_of(name, rounds) -> dict:
    """Return the row of a network."""
    make, pattern, share = NETWORKS[name]
    keras.utils.set_random_seed(0)
    model = make()
    found = kip.estimate_savings(
        model, patterns=[pattern], shares=[share], rounds=rounds
    )
    kind = "float32" if pattern == "units" else "float32, sparse"
    of_share = (each for each in found.estimates if each.sparsity == share)
    estimate = next(each for each in of_share if each.file == kind)
    size, milliseconds = measured(trained(model, pattern, share), rounds)
    return {
        "network": name,
        "pattern": estimate.pattern,
        "sparsity": share,
        "file": kind,
        "estimated_bytes": estimate.bytes,
        "bytes": size,
        "bytes_ratio": round(estimate.bytes / size, 3),
        "estimated_ms": round(estimate.milliseconds, 5),
        "ms": round(milliseconds, 5),
        "ms_ratio": round(estimate.milliseconds / milliseconds, 3),
    }


def main():
    """Measure the networks, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "estimate_savings.csv"
    found = finished(file, operator.itemgetter("network"))
    for name in arguments.networks:
        row = row_of(name, arguments.rounds)
        print(row, flush=True)
        found[name] = [row]
        write(found, file, FIELDS)


if __name__ == "__main__":
    main()
