"""Small initialization (proactive initialization scheme, PIs): θ_0 = κ·θ†."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_invprune.graph.weights import Weight, known_layers, walk

# Pairs of (variable, initializer) attributes that start at zero in Keras layers.
ZERO_STARTS = (
    ("bias", "bias_initializer"),
    ("beta", "beta_initializer"),
    ("moving_mean", "moving_mean_initializer"),
)


# κ: of the values in the paper's grid for images the one that also trains networks
# without normalization in few steps; the paper's value for rows.
IMAGE_SCALE, ROW_SCALE = 0.5, 0.25
NORMALIZATIONS = known_layers(
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
)
CHANCE = 0.05  # of a drawn kernel; 0.8 % of those in bfloat16 are zeros
NOT_DRAWN = (
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.Ones,
    keras.initializers.Zeros,
)


def default_scale(model: keras.Model, images: bool) -> float:
    """κ for a fresh model, chosen by validation rows.

    Normalization takes κ out of a layer's outputs again. Without it a network of
    several layers starts with outputs near zero, and on rows, where trainings have few
    steps, it does not recover in time: κ = 1 then. The figures are those of
    docs/results/invariance_defaults.md.

    Args:
        model: A built Keras model.
        images: Whether its input is an image.
    """
    if images:
        return IMAGE_SCALE
    normalizes = any(isinstance(layer, NORMALIZATIONS) for _, layer in walk(model))
    return ROW_SCALE if normalizes else 1.0


def masks_of_zeros(weights: Mapping[str, Weight], fresh: bool) -> dict[str, np.ndarray]:
    """Masks of the weights that hold zeros which an earlier pruning has left.

    In a network that has not been trained an initializer may have made zeros: one that
    does not draw, or one that draws them by chance. A weight that is all zero may have
    begun so, or, in such a network, have been set so by hand.

    Args:
        weights: Those to look at, by key.
        fresh: Whether the network has not been trained: see `is_fresh`.

    Returns:
        ``{key: bool array}``, True where a weight is not zero.
    """
    found = {}
    for key, (layer, variable) in weights.items():
        kept = variable.numpy() != 0
        signs = [kept.any(), not fresh, _is_drawn(layer, variable)]
        if not kept.all() and sum(signs) >= 2:
            found[key] = kept
    size = sum(kept.size for kept in found.values())
    zeros = sum(int((~kept).sum()) for kept in found.values())
    return {} if fresh and zeros < CHANCE * size else found


def _is_drawn(layer, variable) -> bool:
    """Whether a weight's initializer is known and draws its values."""
    # In Keras's names: kernel_initializer, recurrent_initializer, ...
    names = (variable.name, variable.name.removesuffix("_kernel"))
    initializers = [getattr(layer, f"{name}_initializer", None) for name in names]
    initializer = next(filter(None, initializers), None)
    return initializer is not None and not isinstance(initializer, NOT_DRAWN)


def check_scale(initial_scale: float | tuple[float, str]) -> tuple[float, bool]:
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


def keys_to_scale(
    weights: Mapping[str, Weight], prunable_keys: Iterable[str], everything: bool
) -> list[str]:
    """Keys of the weights that κ multiplies: the prunable ones, or all trained."""
    if not everything:
        return list(prunable_keys)
    return [k for k, w in weights.items() if w.variable.trainable]


def scale_weights(weights: Mapping[str, Weight], keys: Iterable[str], scale: float):
    """Multiplies the weights at `keys` by κ: θ_0 = κ·θ†."""
    for key in keys:
        variable = weights[key].variable
        variable.assign(variable.value * keras.ops.cast(scale, variable.dtype))


def is_fresh(model: keras.Model) -> bool:
    """Whether `model` looks untrained, so that κ would not wreck it.

    It has been trained if its optimizer has made a step, or if a bias, a BatchNorm
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
