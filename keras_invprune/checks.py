"""What `fit` checks before any training."""

import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import tree


def check_finite(data, name):
    """Raises ValueError when arrays of floats hold NaN; other data pass."""
    for part in tree.flatten(data):
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            count = int(np.isnan(part).sum())
            if count:
                raise ValueError(
                    f"`{name}` holds {count} NaN. Impute or drop them before `fit()`."
                )


def check_callbacks(callbacks):
    """Refuses or warns of callbacks that would act on the search by accident.

    Raises:
        ValueError: A LearningRateScheduler that is not gated.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.LearningRateScheduler):
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
                stacklevel=3,
            )


def check_strategy(strategy):
    """Raises ValueError inside the scope of another strategy than the model's own."""
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise ValueError(
            "This pruned model was made outside the current strategy's scope, so "
            "its variables are not distributed. Call `prune(...)` inside "
            "`with strategy.scope():` (the original model may be outside)."
        )
