"""Going back: values to rewind to, and an optimizer as if freshly built."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_invprune.contracts import Tensor
from keras_invprune.graph.weights import weights_by_key

POINTS = ("initial", "first_epoch", "unscaled")


def check_rewind(rewind: str | None):
    """Returns `rewind`, None or one of `POINTS`, or raises ValueError."""
    if rewind is not None and rewind not in POINTS:
        raise ValueError(
            f"`rewind` must be None or one of {POINTS}: to the values at the start of "
            "training, after its first epoch, or before the small initialization. "
            f"Received: rewind={rewind!r}."
        )
    return rewind


def snapshot(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies all weights of a plain Keras model, BatchNorm statistics included."""
    return {
        key: weight.variable.numpy() for key, weight in weights_by_key(model).items()
    }


def restore(
    model: keras.Model,
    values: Mapping[str, Tensor],
    scale: float = 1.0,
    scaled: Iterable[str] = (),
):
    """Writes a snapshot back.

    Args:
        model: The plain Keras model the snapshot was taken of.
        values: ``{key: array}``.
        scale: κ of the small initialization, undone for the keys in `scaled`.
        scaled: Keys of weights that were scaled by κ.
    """
    for key, weight in weights_by_key(model).items():
        value = values[key]
        weight.variable.assign(value / scale if key in scaled else value)


def check_optimizer(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
) -> float | None:
    """Returns the constant learning rate, None for a schedule.

    Raises:
        ValueError: The optimizer, or its learning-rate schedule, cannot be built
            again from its config, which rewinding needs; or it was built for other
            weights than `variables`.
    """
    optimizer = inner_optimizer(optimizer)
    try:
        config = optimizer.get_config()
        fresh = type(optimizer).from_config(config)
    except Exception as error:
        raise ValueError(
            "Rewinding gives the optimizer the state of a freshly built one, and this "
            f"{type(optimizer).__name__} cannot be built from its config: {error} Give "
            "its learning-rate schedule a `get_config` and register it with "
            "`@keras.saving.register_keras_serializable()`, or use rewind=None."
        ) from error
    if optimizer.built:
        fresh.build(variables)
        shapes = [[v.shape for v in one.variables] for one in (optimizer, fresh)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "The optimizer was built for other weights than are trained now: was a "
                "layer frozen since? Compile the model again."
            )
    rate = config.get("learning_rate")
    return rate if isinstance(rate, float) else None


def inner_optimizer(optimizer: keras.optimizers.Optimizer):
    """The optimizer inside a LossScaleOptimizer; else itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def reset_optimizer(
    optimizer: keras.optimizers.Optimizer,
    variables: list[keras.Variable],
    rate: float | None = None,
):
    """Gives an optimizer the state it has when freshly built.

    Slots get their built values (not zero for every optimizer), the step and with
    it a learning-rate schedule start again; a mixed-precision loss scale is kept,
    because zeroing or raising it makes the next gradients overflow.

    Args:
        optimizer: A built Keras optimizer; an unbuilt one is left alone.
        variables: What it was built with.
        rate: Constant learning rate to return to; None leaves it.
    """
    if not optimizer.built:
        return
    optimizer = inner_optimizer(optimizer)
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables)
    for old, new in zip(optimizer.variables, fresh.variables, strict=True):
        old.assign(new.numpy())
    if rate is not None:
        optimizer.learning_rate = rate
