"""A phase of a training: its optimizer, its steps, its fit."""

import math

import keras

from keras_invprune.contracts import Schedule
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.scores import GumbelSoftmax
from keras_invprune_lab.training.augment import AUGMENTATIONS
from keras_invprune_lab.training.order import batches

LONG = 10_000  # steps of a training that is worth compiling
NO_KERNELS = ["alpha", "beta", "bias", "gamma"]  # in Keras's names of weights


def steps_of(recipe, data) -> int:
    """Return the whole batches in an epoch; at least one."""
    steps = max(1, len(data.x_train) // recipe.batch_size)
    return min(steps, recipe.epoch_steps or steps)


def execution(steps) -> int:
    """Return ``steps_per_execution``: more are faster, but an epoch must be whole.

    Keras takes that many batches each time, beyond the end of an epoch, too.
    """
    return max(count for count in range(1, 101) if steps % count == 0)


def make_optimizer(settings, steps, epochs):
    """Return a Keras optimizer for a phase, from `recipe.Optimizer`."""
    schedules, rate = keras.optimizers.schedules, settings.rate
    if settings.schedule == "cosine":
        rate = schedules.CosineDecay(rate, steps * epochs)
    elif settings.schedule == "restarts":
        first = steps * settings.period
        rate = schedules.CosineDecayRestarts(
            rate, first, t_mul=2.0, alpha=1e-7 / settings.rate
        )
    decay = settings.weight_decay or None
    if settings.name == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay or 0.0)
    momentum = settings.momentum
    return keras.optimizers.SGD(rate, momentum, momentum > 0, weight_decay=decay)


def restarts_of(settings, epochs) -> list[int]:
    """Return the epochs after which a cosine with restarts begins again."""
    if settings.schedule != "restarts":
        return []
    ends, length = [settings.period], settings.period
    while ends[-1] < epochs:
        length *= 2
        ends.append(ends[-1] + length)
    return [end for end in ends if end < epochs]


def compile_model(
    model, recipe, settings, data, epochs, changed=lambda same: same, *, xla=True
):
    """Compile for a phase.

    Several steps at once are faster, but masks are renewed between two calls only.

    Args:
        model: Keras model.
        recipe: `Recipe`.
        settings: `recipe.Optimizer`.
        data: `Data`.
        epochs: Of the phase.
        changed: ``optimizer -> optimizer``, what a method makes of it.
        xla: Whether it may be compiled by XLA, which is not worth it where a phase may
            end early.
    """
    steps = steps_of(recipe, data)
    at_once = execution(steps)
    if isinstance(model, PrunedModel):
        schedule = Schedule.of(model.plan.schedule)
        if not schedule.by_hand:
            at_once = math.gcd(at_once, schedule.every)
    optimizer = make_optimizer(settings, steps, epochs)
    if recipe.decayed == "kernels":
        optimizer.exclude_from_weight_decay(var_names=NO_KERNELS)
    model.compile(
        changed(optimizer),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=at_once,
        jit_compile=_xla(model, steps * epochs) if xla else "auto",
    )


def _xla(model, steps):
    """Return whether XLA is worth its ten seconds: it makes a step up to 2/5 faster.

    Of Gumbel-softmax it makes the noise, a number for each weight, and thus a step of
    LeNet-300-100 on a CPU takes ten times as long.
    """
    pruned = isinstance(model, PrunedModel)
    noisy = pruned and isinstance(model.plan.score, GumbelSoftmax)
    return True if steps >= LONG and not noisy else "auto"


def rows_of(job, data, first, last, *, augmented=True):
    """Return an iterator over the batches of some epochs.

    Args:
        job: `Job`; its seed and the numbers of the epochs decide the order of the rows.
        data: `Data`.
        first: The first epoch, where 0 is the first of the run.
        last: The one after the last.
        augmented: Whether the rows are augmented as the recipe says.
    """
    recipe = job.recipe
    return batches(
        data.x_train,
        data.y_train,
        min(recipe.batch_size, len(data.x_train)),
        job.seed,
        first,
        last,
        steps=steps_of(recipe, data),
        augment=AUGMENTATIONS[recipe.augment] if augmented else None,
    )


def train(model, job, data, epochs, before, selecting, show, *, augmented=True):
    """Train a compiled model from its last saved state on.

    Args:
        model: A compiled Keras model.
        job: `Job`; its seed decides the order of the rows.
        data: `Data`.
        epochs: Of the phase.
        before: Epochs before the phase, whose orders of rows are not used again.
        selecting: `Selecting`.
        show: ``show(done, total)`` after each epoch.
        augmented: Whether the rows are augmented as the recipe says.
    """
    first = selecting.restore(model)
    selecting.set_model(model)
    rows = rows_of(job, data, before + first, before + epochs, augmented=augmented)
    steps = steps_of(job.recipe, data)
    fit(model, rows, steps, first, epochs, [selecting], show)


def fit(model, rows, steps, first, epochs, callbacks, show):
    """Train a compiled model for what is left of its epochs.

    Args:
        model: Keras model.
        rows: From `batches`, from the first epoch on.
        steps: Batches of an epoch.
        first: The first epoch, from 0.
        epochs: The number of epochs.
        callbacks: Keras callbacks.
        show: ``show(done, total)``, called before the first epoch and after each.
    """
    show(first, epochs)
    if first < epochs:
        model.fit(
            rows,
            steps_per_epoch=steps,
            initial_epoch=first,
            epochs=epochs,
            callbacks=[*callbacks, telling(show, epochs)],
            shuffle=False,
            verbose=0,
        )


def telling(show, total) -> keras.callbacks.Callback:
    """Return a callback that calls ``show(done, total)`` after each epoch."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs=None: show(epoch + 1, total)
    )
