"""Rewinding: values to return to, and an optimizer as if freshly built."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_invprune.contracts import Tensor
from keras_invprune.graph.weights import weights_by_key

POINTS = ("initial", "first_epoch", "unscaled")


def check_rewind(rewind: str | None) -> str | None:
    """Return `rewind` if it is None or one of `POINTS`; else raise ValueError."""
    if rewind is not None and rewind not in POINTS:
        raise ValueError(
            f"`rewind` must be None or one of {POINTS}: the values at the start of "
            "training, after its first epoch, or before the small initialization. "
            f"Received: rewind={rewind!r}."
        )
    return rewind


def snapshot(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of all weights of a plain Keras model, BatchNorm's included."""
    return {
        key: weight.variable.numpy() for key, weight in weights_by_key(model).items()
    }


def restore(
    model: keras.Model,
    values: Mapping[str, Tensor],
    scale: float = 1.0,
    scaled: Iterable[str] = (),
) -> None:
    """Write a snapshot back.

    Args:
        model: The plain Keras model that the snapshot was taken from.
        values: ``{key: array}``.
        scale: κ of the small initialization, which is divided out of `scaled`.
        scaled: Keys of the weights that were scaled by κ.
    """
    for key, weight in weights_by_key(model).items():
        value = values[key]
        weight.variable.assign(value / scale if key in scaled else value)


def check_optimizer(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
) -> float | None:
    """Return the constant learning rate, or None for a schedule.

    Raises:
        ValueError: If the optimizer or its learning-rate schedule cannot be rebuilt
            from its config, which rewinding needs, or if it was built for other
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
                "The optimizer was built for other weights than those that are trained "
                "now. Was a layer frozen since? Compile the model again."
            )
    rate = config.get("learning_rate")
    return rate if isinstance(rate, float) else None


def inner_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """Return the optimizer inside wrappers, such as a loss scale, or itself."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def reset_optimizer(
    optimizer: keras.optimizers.Optimizer,
    variables: list[keras.Variable],
    rate: float | None = None,
) -> None:
    """Reset an optimizer to the state of a freshly built one.

    Slots get the values they are built with, which are not zero for every optimizer.
    The step, and with it a learning-rate schedule, starts again. A mixed-precision
    loss scale is kept: resetting it makes the next gradients overflow.

    Args:
        optimizer: A Keras optimizer; an unbuilt one is left unchanged.
        variables: The variables that it was built with.
        rate: Constant learning rate to return to; None keeps the present one.
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
