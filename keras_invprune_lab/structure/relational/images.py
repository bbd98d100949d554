"""The images of CIFAR-10 as graph2nn's authors read them: cropped and flipped."""

from __future__ import annotations

from functools import cache

import numpy as np

from keras_invprune_lab.data import load

DATASET = "tfds:cifar10"
PIXELS, CLASSES, IMAGES = 3072, 10, 50_000
PAD = 4
MEAN = (125.3, 123.0, 113.9)
"""Of the channels' values, from 0 to 255."""


@cache
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return windows of the padded training images, their classes, and the test part.

    Windows are a view [rows, places down, places right, 3, 32, 32]; pixels are bytes.
    What is around an image has the channels' mean, as in the authors' code.
    """
    data = load(DATASET)
    bytes_ = [np.rint(255 * x).astype("uint8") for x in (data.x_train, data.x_test)]
    train, test = (np.moveaxis(x, -1, 1) for x in bytes_)
    rows, channels, height, width = train.shape
    padded = np.empty((rows, channels, height + 2 * PAD, width + 2 * PAD), "uint8")
    padded[:] = np.rint(MEAN).reshape(-1, 1, 1)
    padded[:, :, PAD:-PAD, PAD:-PAD] = train
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (2, 3))
    return np.moveaxis(windows, 1, 3), data.y_train, test, data.y_test


def cropped(windows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the training images of an epoch, cropped and flipped at random.

    The last place of each axis is never drawn, as in the authors' code.
    """
    random = np.random.default_rng([seed, epoch])
    rows = np.arange(len(windows))
    down, right = random.integers(2 * PAD, size=(2, len(rows)))
    found = windows[rows, down, right]
    flipped = random.random(len(rows)) < 0.5
    found[flipped] = found[flipped, ..., ::-1]
    return found
