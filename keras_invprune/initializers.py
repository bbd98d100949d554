"""Small initialisation (proactive initialisation scheme, PIs): θ_0 = κ·θ†."""

import keras
import numpy as np

from keras_invprune.weights import walk, weights_by_key

# Pairs of (variable, initializer) attributes that start at zero in Keras layers.
ZERO_STARTS = (
    ("bias", "bias_initializer"),
    ("beta", "beta_initializer"),
    ("moving_mean", "moving_mean_initializer"),
)


def check_scale(initial_scale) -> tuple[float, bool]:
    """Returns (κ, whether it applies to every trainable weight).

    Raises:
        ValueError: Neither κ in (0, 1] nor a pair ``(κ, "kernels" or "all")``.
    """
    scale, which = (
        initial_scale
        if isinstance(initial_scale, tuple)
        else (initial_scale, "kernels")
    )
    if which not in ("kernels", "all") or not (
        isinstance(scale, int | float) and 0 < scale <= 1
    ):
        raise ValueError(
            "`initial_scale` (κ) must be in (0, 1], or a pair (κ, 'kernels') or "
            f"(κ, 'all'). Received: initial_scale={initial_scale!r}."
        )
    return float(scale), which == "all"


def keys_to_scale(model, prunable_keys, everything) -> list[str]:
    """Keys of the weights that κ multiplies: the prunable ones, or all trained."""
    if not everything:
        return list(prunable_keys)
    return [k for k, w in weights_by_key(model).items() if w.variable.trainable]


def scale_weights(model, keys, scale):
    """Multiplies the weights at `keys` by κ: θ_0 = κ·θ†."""
    weights = weights_by_key(model)
    for key in keys:
        variable = weights[key].variable
        variable.assign(variable.value * keras.ops.cast(scale, variable.dtype))


def is_fresh(model) -> bool:
    """Whether `model` looks untrained, so that κ would not wreck it.

    It has been trained if its optimiser has made a step, or if a bias, a BatchNorm
    shift or a moving mean that starts at zero is not zero any more.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and int(optimizer.iterations.numpy()):
        return False
    return not any(_has_moved(layer) for _, layer in walk(model))


def _has_moved(layer) -> bool:
    for attribute, initializer in ZERO_STARTS:
        variable = getattr(layer, attribute, None)
        starts = getattr(layer, initializer, None)
        if isinstance(variable, keras.Variable) and isinstance(
            starts, keras.initializers.Zeros
        ):
            # LSTM's bias starts at one for its forget gate.
            if getattr(layer, "unit_forget_bias", False):
                continue
            if np.any(variable.numpy()):
                return True
    return False
