"""Masks that are made before the training that is measured."""

import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent import TransferSettings, neural_tangent_transfer
from keras_invprune.scores._examples import examples_for
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.build import make_network, pruned_keys
from keras_invprune_lab.training.loop import steps_of
from keras_invprune_lab.training.resuming import STATE

TRANSFER = "transfer"


def prune_now(job, model, data):
    """Gives a compiled `PrunedModel` its masks, by its own score.

    Methods with a schedule get theirs when they are trained.
    """
    method = METHODS[job.method]
    if method.schedule:
        return
    rows = {"x": data.x_train, "y": data.y_train}
    model.examples = examples_for(model.plan.score, rows)
    model.prune_to(model.plan.sparsity)
    if method.redrawn:
        _redraw(job, model, data)


def _redraw(job, model, data):
    """Other weights under the same masks: the layers' seeds have moved on."""
    fresh = make_network(job, data)
    for weight, value in zip(model.inner.weights, fresh.weights, strict=True):
        weight.assign(value)
    model.masked.apply_masks()


def transferred(job, root, model, data, part, show):
    """The network after neural tangent transfer, which is done once.

    Interrupted, it goes on with its next epoch, whose rows then come in another order.

    Args:
        job: `Job`; if it redraws the weights, the transfer is that of the run it needs.
        root: Folder of all runs.
        model: The plain network.
        data: `Data`; labels are not read.
        part: Folder of the unfinished run, where the result is kept.
        show: ``show(done, total)`` after each epoch of the transfer.
    """
    method, file = METHODS[job.method], part / TRANSFER / STATE
    kept = Path(root) / job.needs.name / TRANSFER / STATE if job.needs else file
    file.parent.mkdir(exist_ok=True)
    if kept.exists() and not file.exists():
        shutil.copy(kept, file)
    keys, sparsity = pruned_keys(job, model)
    choices = {"allocation": method.allocation, "select": keys}
    if file.exists():
        model = prune(model, sparsity, schedule="manual", **choices)
        model.load_weights(file)
    else:
        folder = part / "transfer-backup"
        backup = keras.callbacks.BackupAndRestore(folder, double_checkpoint=True)
        model = _transfer(job, model, data, sparsity, choices, [backup], show)
        new = file.with_name(f"new-{STATE}")
        model.save_weights(new)
        os.replace(new, file)
    if method.redrawn:
        _redraw(job, model, data)
    return model


def _transfer(job, model, data, sparsity, choices, callbacks, show):
    recipe, epochs = job.recipe, job.recipe.transfer_epochs
    shown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs=None: show(epoch + 1, epochs + job.epochs)
    )
    rows = tf.data.Dataset.from_tensor_slices((data.x_train,))
    rows = rows.shuffle(len(data.x_train), job.seed)
    rows = rows.batch(min(recipe.batch_size, len(data.x_train)), drop_remainder=True)
    return neural_tangent_transfer(
        model,
        rows.take(steps_of(recipe, data)).prefetch(1),
        sparsity,
        epochs=epochs,
        settings=TransferSettings(
            penalty=recipe.transfer_penalty, kernel_rows=recipe.kernel_rows
        ),
        callbacks=[*callbacks, shown],
        verbose=0,
        **choices,
    )
