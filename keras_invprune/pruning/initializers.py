"""Small initialization (proactive initialization scheme, PIs): θ_0 = κ·θ†."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_invprune.arguments import is_number
from keras_invprune.graph.weights import Weight, known_layers, walk

# Pairs of attributes (variable, initializer): variables that Keras starts at zero.
ZERO_STARTS = (
    ("bias", "bias_initializer"),
    ("beta", "beta_initializer"),
    ("moving_mean", "moving_mean_initializer"),
)


# κ. For images: the value in the paper's grid that also trains networks without
# normalization in few steps. For rows: the paper's value.
IMAGE_SCALE, ROW_SCALE = 0.5, 0.25
NORMALIZATIONS = known_layers(
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
)
CHANCE = 0.05  # largest share of zeros drawn by chance; in bfloat16 0.8 %
NOT_DRAWN = (
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.Ones,
    keras.initializers.Zeros,
)


def default_scale(model: keras.Model, images: bool) -> float:
    """Return κ for a fresh model, as chosen on validation rows.

    Normalization removes κ from a layer's outputs. Without it, a network of several
    layers starts with outputs near zero. On rows, where training has few steps, it
    does not recover in time, so κ is 1. docs/results/invariance_defaults.md has the
    figures.

    Args:
        model: A built Keras model.
        images: Whether its inputs are images.
    """
    if images:
        return IMAGE_SCALE
    normalizes = any(isinstance(layer, NORMALIZATIONS) for _, layer in walk(model))
    return ROW_SCALE if normalizes else 1.0


def masks_of_zeros(weights: Mapping[str, Weight], fresh: bool) -> dict[str, np.ndarray]:
    """Return masks of the weights that an earlier pruning has set to zero in part.

    Zeros may have other causes. In an untrained network an initializer may have made
    them: one that is constant, or one that draws zeros by chance. A weight that is all
    zeros may have started so or have been set by hand.

    Args:
        weights: The weights to examine, by key.
        fresh: Whether the network is untrained: see `is_fresh`.

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


def _is_drawn(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Return whether a weight's initializer is known and draws random values."""
    # As Keras names them: kernel_initializer, recurrent_initializer, ...
    names = (variable.name, variable.name.removesuffix("_kernel"))
    initializers = [getattr(layer, f"{name}_initializer", None) for name in names]
    initializer = next(filter(None, initializers), None)
    return initializer is not None and not isinstance(initializer, NOT_DRAWN)


def check_scale(initial_scale: float | tuple[float, str]) -> tuple[float, bool]:
    """Return (κ, whether it applies to every trainable weight).

    Raises:
        ValueError: If it is neither κ in (0, 1] nor ``(κ, "kernels" or "all")``.
    """
    scale, which = (
        initial_scale
        if isinstance(initial_scale, tuple)
        else (initial_scale, "kernels")
    )
    if which not in ("kernels", "all") or not (is_number(scale) and 0 < scale <= 1):
        raise ValueError(
            "`initial_scale` (κ) must be in (0, 1], or a pair (κ, 'kernels') or "
            f"(κ, 'all'). Received: initial_scale={initial_scale!r}."
        )
    return float(scale), which == "all"


def keys_to_scale(
    weights: Mapping[str, Weight], prunable_keys: Iterable[str], everything: bool
) -> list[str]:
    """Return the keys of the weights to scale: the prunable or all trainable ones."""
    if not everything:
        return list(prunable_keys)
    return [k for k, w in weights.items() if w.variable.trainable]


def scale_weights(
    weights: Mapping[str, Weight], keys: Iterable[str], scale: float
) -> None:
    """Multiply the weights at `keys` by κ: θ_0 = κ·θ†."""
    for key in keys:
        variable = weights[key].variable
        variable.assign(variable.value * keras.ops.cast(scale, variable.dtype))


def is_fresh(model: keras.Model) -> bool:
    """Return whether `model` looks untrained, so that κ would not destroy it.

    It has been trained if its optimizer has made a step, or if a bias, BatchNorm shift
    or moving mean that starts at zero is no longer zero.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and int(optimizer.iterations.numpy()):
        return False
    return not any(_has_moved(layer) for _, layer in walk(model))


def _has_moved(layer: keras.Layer) -> bool:
    for attribute, initializer in ZERO_STARTS:
        variable = getattr(layer, attribute, None)
        starts = getattr(layer, initializer, None)
        if isinstance(variable, keras.Variable) and isinstance(
            starts, keras.initializers.Zeros
        ):
            # LSTM's bias starts at one for the forget gate.
            if getattr(layer, "unit_forget_bias", False):
                continue
            if np.any(variable.numpy()):
                return True
    return False
