"""Networks under the masks of a graph, as You et al. 2020 made and trained them.

A Dense layer of 512 units, three under the masks of the graph, and a head; batch
normalization and ReLU between them. The three layers get as many units as are needed
for the multiplications of the complete graph with 512.

Source:
    You et al. 2020, Graph structure of neural networks (2007.06559), and its authors'
    code. There, decay acts on biases and batch normalization as well.
"""

from __future__ import annotations

from bisect import bisect_left

import keras
import numpy as np

import keras_invprune as kip
from keras_invprune.allocation import Relational
from keras_invprune_lab.structure.relational.graphs import drawn_again
from keras_invprune_lab.structure.relational.images import CLASSES, MEAN, PIXELS

FIRST, LAYERS = 512, 3
RATE, MOMENTUM, DECAY, STDDEV = 0.1, 0.9, 5e-4, 0.01
DEVIATION = (63.0, 62.1, 66.7)
"""Of the channels' values, from 0 to 255."""


def multiplications(relational: Relational, width: int) -> int:
    """Return those of a network for one image."""
    shapes = [(FIRST, width), *[(width, width)] * (LAYERS - 1)]
    inner = sum(int(relational.mask(shape).sum()) for shape in shapes)
    return PIXELS * FIRST + inner + width * CLASSES


def width_for(name: str) -> int:
    """Return the fewest units with no fewer multiplications than the complete graph's.

    The authors count in the same way. Where the units cannot be shared equally, they
    draw the nodes that have one more, and so may need a few units more or less.
    """
    relational = Relational(drawn_again(name))
    dense = PIXELS * FIRST + LAYERS * FIRST**2 + FIRST * CLASSES
    widths = range(FIRST // 2, 8 * FIRST)
    place = bisect_left(widths, dense, key=lambda w: multiplications(relational, w))
    return widths[place]


def dense(units: int, name: str, **options) -> keras.layers.Dense:
    """Return a Dense layer, initialized and decayed as the authors' are."""
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=STDDEV),
        kernel_regularizer=keras.regularizers.L2(DECAY / 2),
        name=name,
        **options,
    )


def network(name: str, width: int) -> keras.Model:
    """Return a compiled network whose three layers are under the masks of a graph."""
    inner = [f"relational_{number}" for number in range(LAYERS)]
    model = keras.Sequential([keras.Input((3, 32, 32))])
    model.add(keras.layers.Normalization(1, MEAN, np.square(DEVIATION)))
    model.add(keras.layers.Flatten())
    for layer in ("first", *inner):
        model.add(dense(FIRST if layer == "first" else width, layer, use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        model.add(keras.layers.ReLU())
    model.add(dense(CLASSES, "head"))
    relational = Relational(drawn_again(name))
    share = relational.sparsity(model, inner)
    model = kip.prune(
        model, share, allocation=relational, schedule="at_init", select=inner
    )
    model.compile(
        keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    return model
