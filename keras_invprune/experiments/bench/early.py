"""Masks that are made before the training that is measured."""

import os

import keras

from keras_invprune.examples import examples_for
from keras_invprune.experiments.bench.methods import METHODS
from keras_invprune.experiments.bench.networks import make_network, pruned_keys
from keras_invprune.pruning import prune
from keras_invprune.tangent import neural_tangent_transfer

TRANSFERRED = "transfer.weights.h5"


def prune_now(job, model, data):
    """Gives a compiled `PrunedModel` its masks, by its own score.

    Methods that move connections get theirs when they are trained.
    """
    method = METHODS[job.method]
    if method.learner == "rewired":
        return
    rows = {"x": data.x_train, "y": data.y_train}
    model.examples = examples_for(model.plan.score, rows)
    model.prune_to(model.plan.sparsity)
    if method.redrawn:
        # The layers' seeds have moved on: other values.
        fresh = make_network(job, data)
        for weight, value in zip(model.inner.weights, fresh.weights, strict=True):
            weight.assign(value)
        model.masked.apply_masks()


def transferred(job, model, data, part, show):
    """The network after neural tangent transfer, which is done once.

    Args:
        job: `Job`.
        model: The plain network.
        data: `Data`; labels are not read.
        part: Folder of the unfinished run, where the result is kept.
        show: ``show(done, total)`` after each epoch of the transfer.
    """
    recipe, file = job.recipe, part / TRANSFERRED
    keys, sparsity = pruned_keys(job, model)
    choices = {"allocation": METHODS[job.method].allocation, "select": keys}
    if file.exists():
        pruned = prune(model, sparsity, schedule="manual", **choices)
        pruned.load_weights(file)
        return pruned
    whole = recipe.transfer_epochs + job.epochs
    pruned = neural_tangent_transfer(
        model,
        data.x_train,
        sparsity,
        epochs=recipe.transfer_epochs,
        kernel_rows=recipe.kernel_rows,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs=None: show(epoch + 1, whole)
            )
        ],
        verbose=0,
        **choices,
    )
    new = part / f"new-{TRANSFERRED}"
    pruned.save_weights(new)
    os.replace(new, file)
    return pruned
