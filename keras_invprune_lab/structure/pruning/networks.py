"""Recurrent networks: trained, pruned in one shot, and tested."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import keras

import keras_invprune as kip
from keras_invprune.saving import replaced
from keras_invprune_lab.data import Data
from keras_invprune_lab.models.recurrent import PARTS, recurrent
from keras_invprune_lab.training.checkpoint import Checkpoint

BATCH, RATE, CLIP = 32, 1e-3, 5.0


def network(cell: str, data: Data) -> keras.Model:
    """Return a new network for strings, each batch of which is as long as its longest.

    Args:
        cell: A name in `models.recurrent.CELLS`.
        data: What it reads.
    """
    return recurrent(data.x_train.shape[1:], data.classes, cell=cell, by_batch=True)


def compiled(model: keras.Model) -> keras.Model:
    """Compile a network, or a pruned one, for a phase, and return it."""
    model.compile(
        keras.optimizers.Adam(RATE, global_clipnorm=CLIP),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,  # steps take half as long
    )
    return model


def trained(
    cell: str,
    seed: int,
    file: Path,
    data: Data,
    epochs: int,
    show: Callable[[int], None],
) -> keras.Model:
    """Return the network of a kind and a seed, compiled.

    Args:
        cell: A name in `models.recurrent.CELLS`.
        seed: Of its weights and of the order of rows.
        file: Of its weights. If it is there, they are read, and nothing is trained. An
            interrupted training resumes after its last epoch.
        data: What it reads.
        epochs: Of the training.
        show: ``show(epochs done)``.
    """
    keras.utils.set_random_seed(seed)
    model, state = network(cell, data), Checkpoint(file.with_name(f"{cell}-{seed}"))
    if file.exists():
        model.load_weights(file)  # before it is compiled: those of Adam are not needed
        shutil.rmtree(state.folder, ignore_errors=True)  # a kill may have left it
        return compiled(model)
    compiled(model)
    state.folder.mkdir(exist_ok=True)
    shown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: show(epoch + 1)
    )
    model.fit(
        data.x_train,
        data.y_train,
        BATCH,
        epochs,
        initial_epoch=state.restore(model),
        verbose=0,
        callbacks=[state, shown],
    )
    with replaced(file) as new:
        model.save_weights(new)
    shutil.rmtree(state.folder)
    return model


def pruned(model: keras.Model, part: str, percent: int) -> keras.Model:
    """Return a copy of a network under masks, compiled.

    Args:
        model: The network.
        part: A name in `models.recurrent.PARTS`.
        percent: Of the weights of this part, the smallest of all layers together.
    """
    share = percent / 100
    found = kip.prune(model, min(share, 0.99), select=PARTS[part], schedule="manual")
    compiled(found)
    found.prune_to(min(share, 0.99))
    if share == 1:  # which `prune` does not do: nothing would be left to train
        for mask in found.masks.values():
            mask.assign(0 * mask)
        found.masked.apply_masks()
    return found


def retrained(model: keras.Model, data: Data) -> None:
    """Train a network for one more epoch."""
    model.fit(data.x_train, data.y_train, BATCH, verbose=0)


def tested(model: keras.Model, data: Data) -> float:
    """Return the accuracy on test rows, in percent, in batches as in training."""
    _, share = model.evaluate(data.x_test, data.y_test, BATCH, verbose=0)
    return round(100 * share, 3)
