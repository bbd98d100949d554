"""What `fit` checks before any training."""

import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from keras_invprune.identifiers import Missing


def check_fit(model, strategy, arguments):
    """Checks the arguments of `fit`, made under `strategy`, before anything runs."""
    check_strategy(strategy)
    if strategy.num_replicas_in_sync > 1 and model.jit_compile:
        raise ValueError(
            "XLA cannot read a variable of another replica, and this strategy has "
            f"{strategy.num_replicas_in_sync}. Compile with jit_compile=False."
        )
    check_complete(model)
    check_monitors(model, arguments)
    for name in ("x", "y", "sample_weight", "validation_data"):
        check_finite(arguments.get(name), name)
    check_callbacks(arguments["callbacks"], model)


def check_finite(data, name):
    """Raises ValueError when arrays of floats hold NaN; data sets pass."""
    for part in tree.flatten(data):
        if not hasattr(part, "__array__"):
            continue
        array = np.asarray(part)
        count = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        if count:
            raise ValueError(
                f"`{name}` holds {count} NaN. Impute or drop them before `fit()`."
            )


def check_complete(model):
    """Raises RuntimeError when a callable of an unfinished plan was not found."""
    if not model.finished:
        for part in vars(model.plan).values():
            if isinstance(part, Missing):
                part()


def check_monitors(model, arguments):
    """Raises ValueError when a schedule waits for a log that will never come."""
    validated = arguments.get("validation_data") is not None
    validated = validated or bool(arguments.get("validation_split"))
    terms = getattr(model.plan.objective, "terms", ())
    schedule = None if model.finished else model.plan.schedule
    while schedule is not None:
        monitor, name = getattr(schedule, "monitor", None), type(schedule).__name__
        if str(monitor).startswith("val_") and not validated:
            raise ValueError(
                f"{name} watches {monitor!r}, and `fit` was given no validation_data."
            )
        if monitor == "invariance_loss" and monitor not in terms:
            raise ValueError(
                f"{name} watches {monitor!r}, and there is no invariance objective. "
                f"Give `objective=`, or another log: {name}(..., monitor='loss')."
            )
        schedule = getattr(schedule, "schedule", None)


def check_callbacks(callbacks, model):
    """Refuses or warns of callbacks that would act on the search by accident.

    Raises:
        ValueError: A LearningRateScheduler that is not gated.
    """
    if model.finished:
        return
    rewinds = model.plan.rewind is not None
    for callback in callbacks:
        scheduler = isinstance(callback, keras.callbacks.LearningRateScheduler)
        if scheduler and rewinds:
            raise ValueError(
                "A LearningRateScheduler counts the epochs of the whole fit, so it "
                "would not start again when the weights are rewound. Give the "
                "optimizer a keras.optimizers.schedules object (it starts again by "
                "itself), or wrap the callback: AfterPruning(LearningRateScheduler("
                "...)) runs it on fine-tuning, epochs counted from pruning."
            )
        stops = isinstance(callback, keras.callbacks.EarlyStopping)
        saves_best = getattr(callback, "save_best_only", False)
        if stops or saves_best:
            name = type(callback).__name__
            warnings.warn(
                f"{name} also acts on the search, before pruning: it may "
                f"{'stop the training' if stops else 'keep the unpruned network'} "
                f"there. Wrap it: AfterPruning({name}(...)).",
                stacklevel=4,
            )


def check_strategy(strategy):
    """Raises ValueError inside the scope of another strategy than the model's own."""
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise ValueError(
            "This pruned model was made outside the current strategy's scope, so "
            "its variables are not distributed. Call `prune(...)` inside "
            "`with strategy.scope():` (the original model may be outside)."
        )
