"""Which activations act on each element by itself."""

from typing import Any

import keras

ELEMENTWISE = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
    "threshold",
)
KNOWN = [getattr(keras.activations, name, None) for name in ELEMENTWISE]
LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)


def is_elementwise(activation: Any) -> bool:
    """Return whether an activation is known to act on each element by itself."""
    if activation is None or type(activation) in LAYERS:
        return True
    if type(activation) is keras.layers.Activation:
        return is_elementwise(activation.activation)
    return any(activation is known for known in KNOWN)


def named(activation: Any) -> str:
    """Return the name of an activation."""
    return getattr(activation, "__name__", type(activation).__name__)
