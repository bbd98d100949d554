"""Does the search learn label maps, which views do not move? MNIST digits in noise.

    python benchmarks/segmentation.py [--seeds 0 1 2] [--epochs 4] [--out docs/results]

A small U-Net marks the pixels of a digit in a noisy image. Its search uses the default
views (small movements, with the unchanged image supervised), views that move nothing
(noise), or movements with unmoved labels, as a user's own function would make them
under supervised="first". The figures are from the end of the search, before pruning,
and from the end of the fine-tuning, on test images.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers
from ledger import mean_and_spread, with_spreads

import keras_invprune as kip
from keras_invprune_lab.data import tfds_images

SPARSITY, BATCH, TRAIN, TEST = 0.8, 64, 6000, 2000
NOISE = 0.35
COLUMNS = ["pixels, before pruning", "IoU, before pruning", "pixels", "IoU"]


def noisy(images, rng):
    """Return faint digits in noise, and the maps of their pixels."""
    maps = (images[..., 0] > 0.5).astype("int32")
    noise = rng.normal(scale=NOISE, size=images.shape)
    return (0.5 * images + noise).astype("float32"), maps


def u_net():
    """Return a U-Net with two poolings, two skips, and two logits for each pixel."""
    inputs = h = keras.Input((28, 28, 1))
    skips = []
    for filters in (8, 16):
        h = _convolve(filters)(h)
        skips.append(h)
        h = layers.MaxPooling2D()(h)
    h = _convolve(32)(h)
    for filters, skip in zip((16, 8), skips[::-1], strict=True):
        h = layers.Concatenate()([layers.UpSampling2D()(h), skip])
        h = _convolve(filters)(h)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="logits")(h))


def _convolve(filters):
    return layers.Conv2D(filters, 3, padding="same", activation="relu")


def settings(seed):
    """Return ``{name: objective}``."""
    movements = kip.views.images(seed)
    noise = layers.GaussianNoise(0.2, seed=seed)
    return {
        "default views": kip.Invariance(),
        "views of noise": kip.Invariance((None, noise)),
        "moved images, unmoved labels": kip.Invariance(
            lambda images: movements(images), supervised="first"
        ),
    }


def figures(model, x, maps):
    """Return the accuracy by pixel, and the digits' intersection over union, in %."""
    found = model.predict(x, batch_size=256, verbose=0).argmax(-1)
    both, either = (found & maps).sum(), (found | maps).sum()
    return 100 * np.mean(found == maps), 100 * both / either


class AtEndOfSearch(keras.callbacks.Callback):
    """Measures the network before it is pruned."""

    def __init__(self, x, maps):
        super().__init__()
        self.x, self.maps, self.found = x, maps, None

    def on_epoch_end(self, epoch, logs=None):
        """Measure if the model is still searching."""
        if self.model.searching:
            self.found = figures(self.model.inner, self.x, self.maps)


def train(objective, seed, epochs, train, test):
    """Return the figures at the end of the search, and at the end of the training."""
    keras.utils.set_random_seed(seed)
    pruned = kip.prune_for_invariance(u_net(), SPARSITY, objective=objective)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.Adam(2e-3), loss)
    searched = AtEndOfSearch(*test)
    pruned.fit(
        *train, batch_size=BATCH, epochs=2 * epochs, verbose=0, callbacks=[searched]
    )
    return searched.found + figures(kip.strip_pruning(pruned), *test)


def main():
    """Train all settings for all seeds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4, help="of each phase")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    data, begin, rows = tfds_images("mnist"), time.time(), {}
    for seed in given.seeds:
        rng = np.random.default_rng(seed)
        parts = noisy(data.x_train[:TRAIN], rng), noisy(data.x_test[:TEST], rng)
        for name, objective in settings(seed).items():
            found = train(objective, seed, given.epochs, *parts)
            rows.setdefault(name, []).append(found)
            print(name, seed, found, flush=True)
    seeds = " ".join(map(str, given.seeds))
    command = f"python benchmarks/segmentation.py --seeds {seeds}"
    minutes = (time.time() - begin) / 60
    lines = [
        "# Label maps in the search: digits under noise, a small U-Net",
        "",
        f"`{command} --epochs {given.epochs}`: {given.epochs} + {given.epochs} epochs "
        f"of {TRAIN} images, sparsity {SPARSITY}, {minutes:.0f} minutes on "
        f"{os.cpu_count()} cores ({platform.machine()}). Means over seeds in %, test "
        "images; spread: standard deviation (ddof = 1).",
        "",
        f"| search | {' | '.join(with_spreads(COLUMNS))} |",
        "|---|" + "---:|" * 2 * len(COLUMNS),
    ]
    for name, found in rows.items():
        cells = [name]
        for values in zip(*found, strict=True):
            cells += mean_and_spread(values)
        lines.append(f"| {' | '.join(cells)} |")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "segmentation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
