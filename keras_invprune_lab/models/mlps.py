"""Fully connected networks. All end in logits."""

import math

import keras
from keras import layers

from keras_invprune_lab.models.blocks import EMBEDDING, block, dense, uniform


def mlp(input_shape, classes, units=(300, 100), name="mlp", as_torch=False):
    """Make a fully connected ReLU network; (300, 100) is LeNet-300-100.

    Args:
        input_shape: Shape of one input; flattened.
        classes: Number of classes.
        units: Widths of the hidden layers.
        name: Name of the model.
        as_torch: Whether kernels and biases are drawn uniformly from ±1/√fan_in, as
            PyTorch does by default.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        LeCun et al. 1998, Gradient-based learning applied to document
        recognition, section III.C.4.
    """
    read = (math.prod(input_shape), *units)
    *drawn, last = [_drawn(fan_in) if as_torch else {} for fan_in in read]
    hidden = [
        layers.Dense(width, activation="relu", name=f"hidden_{index}", **own)
        for index, (width, own) in enumerate(zip(units, drawn, strict=True), start=1)
    ]
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            layers.Flatten(name="flatten"),
            *hidden,
            layers.Dense(classes, name="logits", **last),
        ],
        name=name,
    )


def _drawn(fan_in):
    """Return what draws the weights of a layer as PyTorch does."""
    kernel, bias = uniform(fan_in), uniform(fan_in)
    return {"kernel_initializer": kernel, "bias_initializer": bias}


# Outputs of the layers of the convolutional network that MLP_VIS expands, for images
# of 32 x 32 pixels and width multiplier 1.
VIS_UNITS = (1024, 512, 512, 256, 256, 128, 128, 64)


def mlp_vis(input_shape, classes, width=8, name="mlp_vis"):
    """Make MLP_VIS: `cnn` with a fully connected layer for each convolution.

    Each layer has as many outputs as the convolution it replaces, and nothing else
    of its structure; BatchNorm and ReLU after each. The output of the encoder is the
    layer named "embedding".

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: α, the width multiplier: 92.1 million weights at 8, 4.2 at 1,
            for CIFAR-10.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        Neyshabur 2020, Towards learning convolutions from scratch (2007.13657),
        D-FC; the authors' code of 2309.08171.
    """
    return _encoder_and_head(
        input_shape, classes, [units * width for units in VIS_UNITS], name
    )


def mlp_tab(input_shape, classes, width=512, name="mlp_tab"):
    """Make MLP_TAB: eight layers with BatchNorm and ReLU, and a head with one more.

    Args:
        input_shape: (features,).
        classes: Number of classes.
        width: Units of each hidden layer.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        The authors' code of 2309.08171 (``mlpnet``), after the nine layers of Kadra
        et al. 2021.
    """
    return _encoder_and_head(input_shape, classes, [width] * 8, name)


def _encoder_and_head(input_shape, classes, units, name):
    hidden = []
    for index, count in enumerate(units, start=1):
        last = EMBEDDING if index == len(units) else None
        hidden += block(dense(count), f"encoder_{index}", last)
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            layers.Flatten(name="flatten"),
            *hidden,
            *block(dense(units[-1]), "head"),
            dense(classes, use_bias=True)("logits"),
        ],
        name=name,
    )
