"""Compares estimated milliseconds with those that are measured after training.

    python benchmarks/estimate_savings.py [--networks mlp blocks ...] [--rounds 5]

Five networks are estimated untrained, then pruned, trained for a few epochs on drawn
rows, and exported. The trained file and the untrained one with drawn masks differ in
where their zeros are. Each line gives bytes and milliseconds, estimated and measured,
and the ratio of both. Run it on a quiet machine: it cannot tell a slow file from a busy
processor.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_invprune as kip
from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.timing import times

ROWS, EPOCHS, CLASSES = 256, 4, 10
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


def main():
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(
        "network       bytes: estimated  measured  ratio  ms: estimated measured  ratio"
    )
    for name in arguments.networks:
        make, pattern, share = NETWORKS[name]
        keras.utils.set_random_seed(0)
        model = make()
        found = kip.estimate_savings(
            model, patterns=[pattern], shares=[share], rounds=arguments.rounds
        )
        kind = "float32" if pattern == "units" else "float32, sparse"
        rows = (each for each in found.estimates if each.sparsity == share)
        estimate = next(each for each in rows if each.file == kind)
        size, milliseconds = measured(trained(model, pattern, share), arguments.rounds)
        print(
            f"{name:13} {estimate.bytes:16,} {size:9,} {estimate.bytes / size:6.2f} "
            f"{estimate.milliseconds:14.4f} {milliseconds:8.4f} "
            f"{estimate.milliseconds / milliseconds:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
