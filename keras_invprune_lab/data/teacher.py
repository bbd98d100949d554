"""Data that a network of known depth has made."""

import numpy as np

from keras_invprune_lab.data.base import Data

FEATURES, UNITS, CLASSES, ROWS = 10, 16, 4, 8000


def teacher_network(seed, outputs):
    """Return a random function ``rows -> outputs``: a ReLU net of three layers.

    Args:
        seed: Of its weights.
        outputs: Number of outputs.
    """
    random = np.random.default_rng(seed)
    sizes = [FEATURES, UNITS, UNITS, outputs]
    kernels = [
        random.normal(0, np.sqrt(2 / n), (n, m))
        for n, m in zip(sizes, sizes[1:], strict=False)
    ]

    def answers(x):
        for kernel in kernels[:-1]:
            x = np.maximum(x @ kernel, 0)
        return x @ kernels[-1]

    return answers


def teacher(seed=0) -> Data:
    """Return normal rows and the classes that a teacher of depth 3 gives them.

    Classes are about equally frequent. Half of the rows are the test set.

    Args:
        seed: Of the teacher and the rows.
    """
    x = np.random.default_rng(seed).normal(size=(ROWS, FEATURES)).astype("float32")
    logits = teacher_network(seed, CLASSES)(x)
    y = np.argmax((logits - logits.mean(0)) / logits.std(0), axis=1)
    half = ROWS // 2
    return Data(x[:half], y[:half], x[half:], y[half:])
