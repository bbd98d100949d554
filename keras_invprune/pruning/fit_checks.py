"""Checks that `fit` makes before any training."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from keras_invprune import contracts, tfmot
from keras_invprune.contracts import Nested, Objective
from keras_invprune.pruning.checks import check_agreement
from keras_invprune.pruning.rewind import inner_optimizer
from keras_invprune.saving import Missing

RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
OWN_STEPS = (
    "fit",
    "train_on_batch",
    "make_train_function",
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
)
LEAST_EPSILON = 1.1e-19  # float32 has no square of a smaller one


def check_fit(
    model: keras.Model, strategy: tf.distribute.Strategy, arguments: dict[str, Any]
) -> None:
    """Check the arguments of `fit` for a model made under `strategy`."""
    check_strategy(strategy)
    check_compiled(model)
    check_averages(model)
    check_adafactor(model)
    check_xla(strategy, model.jit_compile)
    check_complete(model)
    if not model.finished:
        check_agreement(model.plan, trained=model.step > 0)
    check_own_steps(model.inner)
    check_monitors(model, arguments)
    check_labels(model, arguments.get("y"))
    for name in ("x", "y", "sample_weight", "validation_data"):
        check_finite(arguments.get(name), name)
    check_callbacks(arguments["callbacks"], model)


def check_compiled(model: keras.Model) -> None:
    """Raise ValueError if a model has no loss and optimizer yet."""
    if not model.compiled:
        raise ValueError(
            "The pruned model is not compiled: it takes neither the optimizer nor the "
            "loss from the model given to `prune`. Call `compile(optimizer, loss)` on "
            "it before training."
        )


def check_strategy(strategy: tf.distribute.Strategy) -> None:
    """Raise ValueError if the current strategy is not the model's own."""
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise ValueError(
            "This pruned model was made outside the current strategy's scope, so "
            "its variables are not distributed. Call `prune(...)` inside "
            "`with strategy.scope():` (the original model may be outside)."
        )


def check_averages(model: keras.Model) -> None:
    """Raise ValueError if Keras could not write averaged weights back.

    At the end of `fit`, Keras pairs averages and trained weights by position. Weights
    that are trained in the search only are missing by then.
    """
    averages = any(getattr(part, "use_ema", False) for part in _optimizers(model))
    if model.search_only and averages:
        raise ValueError(
            "`use_ema=True` needs the same trained weights throughout, and "
            f"{len(model.search_only)} of them are trained in the search only (those "
            "of the projection or of the score). Leave `use_ema` out, or choose an "
            "objective and a score without weights of their own."
        )


def check_adafactor(model: keras.Model) -> None:
    """Warn if Adafactor would divide zero by zero for weights without gradients.

    It estimates the mean square of a gradient by a product of those of its row and its
    column. If both are zero, the product of their `epsilon_1` remains.
    """
    for part in _optimizers(model):
        if not isinstance(part, keras.optimizers.Adafactor):
            continue
        if part.epsilon_1 < LEAST_EPSILON:
            warnings.warn(
                f"Adafactor(epsilon_1={part.epsilon_1:g}) makes weights NaN as soon as "
                "an input and an output of a kernel get no gradients, as in pruned "
                "networks. Pass epsilon_1=1e-15.",
                stacklevel=4,
            )


def _optimizers(model: keras.Model) -> Sequence[keras.optimizers.Optimizer]:
    """Return the optimizers that a model was compiled with, without wrappers."""
    optimizer = inner_optimizer(model.optimizer)
    return getattr(optimizer, "optimizers", [optimizer])


def check_xla(strategy: tf.distribute.Strategy, jit_compile: bool | str) -> None:
    """Raise ValueError if XLA would have to read a variable of another replica."""
    if strategy.num_replicas_in_sync > 1 and jit_compile is True:
        raise ValueError(
            "XLA cannot read a variable of another replica, and this strategy has "
            f"{strategy.num_replicas_in_sync}. Compile with jit_compile=False."
        )


def check_complete(model: keras.Model) -> None:
    """Raise RuntimeError if a callable of an unfinished plan was not found."""
    if not model.finished:
        parts = list(vars(model.plan).values())
        inside = [list(getattr(part, "__dict__", {}).values()) for part in parts]
        for part in tree.flatten([parts, inside]):  # a pair of views is a list
            if isinstance(part, Missing):
                part()


def check_own_steps(inner: keras.Model) -> None:
    """Raise ValueError if a model has training methods, which would not be called."""
    own = [
        name
        for name in OWN_STEPS
        if getattr(type(inner), name) is not getattr(keras.Model, name)
        or name in vars(inner)
    ]
    if own and all(_only_prepares(inner, name) for name in own):
        if inner.preprocessor is None:
            return
        raise ValueError(
            f"{type(inner).__name__} prepares its data in its own {own[0]}, which is "
            "not called. Make the task with preprocessor=None, prune it, and train it "
            "on data prepared by `preprocessor(x, y)`."
        )
    if own:
        raise ValueError(
            f"{type(inner).__name__} has its own {' and '.join(own)}, which would not "
            "be used: the pruned model around it trains with the compiled loss. Pass "
            "that loss to `compile`, add it in a layer by `add_loss`, or write a "
            "custom loop, as in examples/custom_loop.py."
        )


def _only_prepares(inner: keras.Model, name: str) -> bool:
    """Return whether a method is KerasHub's: it prepares data, then calls Keras's."""
    owner = next(cls for cls in type(inner).__mro__ if name in vars(cls))
    of_hub = owner.__module__.partition(".")[0] == "keras_hub"
    return of_hub and name in ("fit", "train_on_batch") and name not in vars(inner)


def check_monitors(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Raise ValueError if a schedule waits for a log that never comes."""
    validated = arguments.get("validation_data") is not None
    validated = validated or bool(arguments.get("validation_split"))
    terms = Objective.of(model.plan.objective).terms
    schedule = None if model.finished else model.plan.schedule
    while schedule is not None:
        known, name = contracts.Schedule.of(schedule), type(schedule).__name__
        monitor = known.monitor
        if str(monitor).startswith("val_") and not validated:
            raise ValueError(
                f"{name} watches {monitor!r}, and `fit` was given no validation_data. "
                "Pass it, or watch another log."
            )
        if monitor == "invariance_loss" and monitor not in terms:
            raise ValueError(
                f"{name} watches {monitor!r}, and there is no invariance objective. "
                f"Pass `objective=`, or another log: {name}(..., monitor='loss')."
            )
        schedule = known.schedule


def check_labels(model: keras.Model, y: Nested) -> None:
    """Raise ValueError if an array of labels does not fit the outputs and the loss.

    This is checked for one output, one array and Keras's cross-entropies only. Keras
    reports other mismatches itself.
    """
    outputs: Any = getattr(model.inner, "outputs", None) or ()
    parts = [part for part in tree.flatten(y) if isinstance(part, np.ndarray)]
    y = parts[0] if len(parts) == 1 else y
    if len(outputs) != 1 or not isinstance(y, np.ndarray):
        return
    if y.dtype.kind in "USO":
        raise ValueError(
            f"Labels must be numbers. Received: `y` of dtype {y.dtype}. Number them: "
            "names, y = np.unique(y, return_inverse=True)."
        )
    shape, wanted = y.shape[1:], tuple(outputs[0].shape[1:])
    loss = model.loss if isinstance(model.loss, str) else type(model.loss).__name__
    loss = loss.replace("_", "").lower()
    if not wanted or (len(wanted) > 1 and getattr(model.loss, "axis", None) != -1):
        return  # the classes may be on another axis, which only some losses know
    if loss == "categoricalcrossentropy" and not _fits(shape, wanted):
        raise ValueError(
            f"One-hot labels of shape {wanted} are needed for each row. Received: `y` "
            f"of shape {y.shape}. For class numbers use the sparse_categorical_"
            "crossentropy, or keras.utils.to_categorical(y)."
        )
    if loss == "sparsecategoricalcrossentropy":
        _check_class_numbers(y, wanted, getattr(model.loss, "ignore_class", None))


def _check_class_numbers(
    y: np.ndarray, outputs: tuple[int | None, ...], ignored: int | None
) -> None:
    shape, wanted, classes = y.shape[1:], outputs[:-1], outputs[-1]
    if not (_fits(shape, wanted) or _fits(shape, [*wanted, 1])):
        raise ValueError(
            f"Class numbers of shape {tuple(wanted)} are needed for each row. "
            f"Received: `y` of shape {y.shape}. For one-hot rows use "
            "categorical_crossentropy, or y.argmax(axis=-1)."
        )
    inside = (y >= 0) & (y < (np.inf if classes is None else classes))
    wrong = np.unique(y[~inside & (y != ignored)])
    if len(wrong):
        most = "at least 0" if classes is None else f"0 to {classes - 1}"
        raise ValueError(
            f"The model has {classes or 'any number of'} outputs: labels must be "
            f"{most}. Received: {wrong[:9].tolist()}."
        )


def _fits(shape: Sequence[int | None], wanted: Sequence[int | None]) -> bool:
    """Return whether a shape is the one wanted, in which None is any length."""
    pairs = zip(shape, wanted, strict=False)
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in pairs)


def check_finite(data: Nested, name: str) -> None:
    """Raise ValueError if arrays of floats hold NaN; data sets are not read."""
    for part in tree.flatten(data):
        if not hasattr(part, "__array__"):
            continue
        array = np.asarray(part)
        count = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        if count:
            raise ValueError(
                f"`{name}` holds {count} NaN. Impute or drop them before `fit()`."
            )


def _check_keras_3(callback: keras.callbacks.Callback) -> None:
    # TF-MOT's `UpdatePruningStep` finds no wrappers of TF-MOT, and does nothing.
    harmless = isinstance(callback, tfmot.sparsity.UpdatePruningStep)
    if tfmot.is_tf_keras(callback) and not harmless:
        raise TypeError(
            f"Callbacks must be Keras 3's. Received: {type(callback).__name__}, which "
            "is one of tf_keras. Pass its counterpart in `keras.callbacks`; that of "
            "TF-MOT's PruningSummaries is TensorBoard, which shows the sparsity."
        )


def check_callbacks(
    callbacks: Iterable[keras.callbacks.Callback], model: keras.Model
) -> None:
    """Raise or warn if callbacks would act on the search by accident.

    Raises:
        TypeError: If a callback is one of tf_keras.
        ValueError: If a callback sets the learning rate or may restore weights of the
            search, and is not inside `AfterPruning`.
    """
    for callback in callbacks:
        _check_keras_3(callback)
    if model.finished:
        return
    rewinds = model.plan.rewind is not None
    for callback in callbacks:
        if rewinds and isinstance(callback, RATES):
            name = type(callback).__name__
            raise ValueError(
                f"A {name} sees the whole fit, so it would not start again when the "
                "weights are rewound. Give the optimizer a keras.optimizers.schedules "
                "object (it starts again by itself), or wrap the callback: "
                f"AfterPruning({name}(...)) runs it on fine-tuning and counts epochs "
                "from pruning."
            )
        stops = isinstance(callback, keras.callbacks.EarlyStopping)
        restores = getattr(callback, "restore_best_weights", False)
        if stops and restores:
            raise ValueError(
                "EarlyStopping(restore_best_weights=True) may restore the unpruned "
                "network of the search. Wrap it, so that the best epoch is one of "
                "fine-tuning: AfterPruning(EarlyStopping(...)). Its start_from_epoch "
                "is counted from there."
            )
        saves_best = getattr(callback, "save_best_only", False)
        if stops or saves_best:
            name = type(callback).__name__
            warnings.warn(
                f"{name} also acts on the search, before pruning: it may "
                f"{'stop the training' if stops else 'keep the unpruned network'} "
                f"there. Wrap it: AfterPruning({name}(...)).",
                stacklevel=4,
            )
