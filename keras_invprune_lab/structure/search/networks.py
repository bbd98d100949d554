"""The network of a graph: made, trained, measured."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.weights import kernels, weights_by_key
from keras_invprune.priors import convolutional
from keras_invprune.saving import replaced
from keras_invprune_lab.structure.search.evaluations import Evaluation
from keras_invprune_lab.structure.search.genome import graph_from, name_of
from keras_invprune_lab.structure.search.recipe import Network, Training
from keras_invprune_lab.structure.search.rows import Rows
from keras_invprune_lab.training.augment import AUGMENTATIONS
from keras_invprune_lab.training.order import batches
from keras_invprune_lab.training.selecting import logits

WEIGHTS = "weights"


def network_of(graph: str, seed: int, network: Network, rows: Rows) -> Any:
    """Return the untrained network of a graph.

    Args:
        graph: Which graph it is, see `genome.key_of`.
        seed: Seed of the weights.
        network: How it is made.
        rows: The training rows, for the shape of an image and the number of classes.
    """
    shape, classes = rows.x.shape[1:], int(rows.y.max()) + 1
    settings = network.model_dump()
    return convolutional(graph_from(graph), shape, classes, seed=seed, **settings)


def train(model: Any, rows: Rows, settings: Training, seed: int) -> float | None:
    """Train a network by cross-entropy.

    It does without `fit`, whose training step takes longer to trace than a small
    network to train.

    Args:
        model: A Keras model that returns logits.
        rows: The training rows.
        settings: How to train.
        seed: Seed of the order of the rows and of augmentation.

    Returns:
        The mean loss of the last epoch; None if it is not a finite number.
    """
    steps = -(-len(rows.x) // settings.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        settings.rate, steps * settings.epochs
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay)
    weights = model.trainable_variables
    optimizer.build(weights)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    stream = batches(
        rows.x,
        rows.y,
        settings.batch_size,
        seed,
        0,
        settings.epochs,
        augment=AUGMENTATIONS[settings.augment],
    )
    losses = [step(x, y) for x, y in stream]
    last = float(np.mean([float(loss) for loss in losses[-steps:]]))
    return last if math.isfinite(last) else None


def accuracy(model: Any, rows: Rows) -> float:
    """Return the share of rows whose class has the highest output."""
    return float((logits(model, rows.x).argmax(axis=1) == rows.y).mean())


def macs(model: Any, rows: Rows) -> int:
    """Return the multiply-accumulate operations for one image."""
    uses = kernel_uses(model, rows.x[:1])
    sizes = kernels(weights_by_key(model))
    return sum(
        math.prod(variable.shape) * (uses[key] or 0)
        for key, (_, variable) in sizes.items()
    )


def weights_file(folder: Path, graph: str, seed: int) -> Path:
    """Return where the weights of a training are."""
    return folder / WEIGHTS / f"{name_of(graph)}-{seed}.weights.h5"


def evaluate(
    graph: str,
    seed: int,
    settings: Training,
    network: Network,
    train_rows: Rows,
    valid_rows: Rows,
    folder: Path,
) -> Evaluation:
    """Train a graph and save its weights.

    Args:
        graph: Which graph it is.
        seed: Seed of the weights and of the order of the rows.
        settings: How to train.
        network: How the graph becomes a network.
        train_rows: Rows to train with.
        valid_rows: Rows to measure with.
        folder: Of the search.

    Returns:
        The training, for the ledger.
    """
    began = time.monotonic()
    keras.utils.set_random_seed(seed)
    model = network_of(graph, seed, network, train_rows)
    loss = train(model, train_rows, settings, seed)
    share = accuracy(model, valid_rows)
    cost, size = macs(model, train_rows), model.count_params()
    save_weights(model, weights_file(folder, graph, seed))
    keras.backend.clear_session(free_memory=False)
    seconds = round(time.monotonic() - began, 2)
    return Evaluation(graph, seed, share, loss, cost, size, seconds)


def save_weights(model: Any, file: Path):
    """Write the weights of a model to a file that is complete whenever it is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as new:
        model.save_weights(new)
