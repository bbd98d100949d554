"""Layers as PyTorch makes them, which the authors' networks are made of."""

import keras
from keras import layers

EMBEDDING = "embedding"  # the layer whose output is the encoder's


def _initializer():
    """Return U(-1/sqrt(fan_in), 1/sqrt(fan_in)): Kaiming's uniform with a = sqrt(5)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def uniform(n):
    """Return U(-1/sqrt(n), 1/sqrt(n)). Keras wants another one for each weight."""
    return keras.initializers.RandomUniform(-(n**-0.5), n**-0.5)


def dense(units, use_bias=False):
    """Return ``(name) -> Dense``, without a bias if BatchNorm removes it again."""
    return lambda name: layers.Dense(
        units, use_bias=use_bias, kernel_initializer=_initializer(), name=name
    )


def conv(filters, size, stride=1, initializer=None):
    """Return ``(name) -> Conv2D`` without a bias, with zeros around the image."""
    return lambda name: layers.Conv2D(
        filters,
        size,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer or _initializer(),
        name=name,
    )


def norm(name):
    """Return BatchNorm with PyTorch's momentum and ε."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def block(linear, name, output=None) -> list:
    """Return a linear layer, BatchNorm, ReLU; `output` names the last."""
    return [
        linear(name),
        norm(f"{name}_norm"),
        layers.ReLU(name=output or f"{name}_relu"),
    ]
