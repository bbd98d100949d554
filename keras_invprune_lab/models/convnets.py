"""Convolutional networks. All end in logits."""

import keras
from keras import layers

from keras_invprune_lab.models.blocks import EMBEDDING, block, conv, dense


def small_convnet(input_shape, classes, filters=(16, 32), name="small_convnet"):
    """Make two 3x3 convolutions with pooling, a hidden layer of 64, logits.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        filters: Filters of the two convolutions.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].
    """
    blocks = []
    for index, count in enumerate(filters, start=1):
        blocks.append(
            layers.Conv2D(
                count, 3, padding="same", activation="relu", name=f"conv_{index}"
            )
        )
        blocks.append(layers.MaxPooling2D(name=f"pool_{index}"))
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            *blocks,
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(classes, name="logits"),
        ],
        name=name,
    )


# (filters, stride) of the convolutions, for width multiplier 1.
CNN_FILTERS = ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2))


def cnn(input_shape, classes, width=8, name="cnn"):
    """Make the convolutional network that `mlp_vis` is the fully connected twin of.

    Eight 3x3 convolutions with BatchNorm and ReLU, every other one of stride 2.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: α, the width multiplier: 8 to 128 filters at 8.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        Neyshabur 2020 (2007.13657), D-CONV; the authors' code of 2309.08171.
    """
    hidden = []
    for index, (filters, stride) in enumerate(CNN_FILTERS, start=1):
        hidden += block(conv(filters * width, 3, stride), f"encoder_{index}")
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            *hidden,
            layers.Flatten(name=EMBEDDING),
            *block(dense(64 * width), "head"),
            dense(classes, use_bias=True)("logits"),
        ],
        name=name,
    )


def lenet5(input_shape, classes, name="lenet_5"):
    """Make LeNet-5 as in Caffe: 20 and 50 filters of 5x5 with pooling, 500 units.

    Args:
        input_shape: (height, width, channels), at least 16 pixels a side.
        classes: Number of classes.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        LeCun et al. 1998, with the ReLU and the sizes of Caffe's example, as used
        by SNIP and Neural Tangent Transfer.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            layers.Conv2D(20, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(50, 5, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(500, activation="relu", name="hidden"),
            layers.Dense(classes, name="logits"),
        ],
        name=name,
    )


def conv4(input_shape, classes, name="conv_4"):
    """Make Conv-4: twice two 3x3 convolutions (64, then 128) with pooling; 256, 256.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        Frankle and Carbin 2019, The lottery ticket hypothesis (1803.03635), figure 2.
    """
    convolutions = []
    for stage, filters in enumerate((64, 128), start=1):
        for index in (1, 2):
            convolutions.append(
                layers.Conv2D(
                    filters,
                    3,
                    padding="same",
                    activation="relu",
                    name=f"conv_{stage}_{index}",
                )
            )
        convolutions.append(layers.MaxPooling2D(name=f"pool_{stage}"))
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            *convolutions,
            layers.Flatten(name="flatten"),
            layers.Dense(256, activation="relu", name="hidden_1"),
            layers.Dense(256, activation="relu", name="hidden_2"),
            layers.Dense(classes, name="logits"),
        ],
        name=name,
    )


# Filters of the convolutions in each stage of VGG-16, for width 64.
VGG_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


def vgg16(input_shape, classes, width=64, name="vgg_16"):
    """Make VGG-16 for small images: 13 3x3 convolutions, two hidden layers, logits.

    BatchNorm and ReLU follow each convolution, ReLU each hidden layer: 15 activations.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: Filters of the first stage. The hidden layers have eight times as many
            units.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        Simonyan, Zisserman 2015 (1409.1556), configuration D. Its hidden layers have
        4,096 units, for ImageNet.
    """
    convolutions = []
    for stage, counts in enumerate(VGG_STAGES, start=1):
        for index, count in enumerate(counts, start=1):
            filters = conv(count * width, 3, initializer="he_normal")
            convolutions += block(filters, f"conv_{stage}_{index}")
        convolutions.append(layers.MaxPooling2D(padding="same", name=f"pool_{stage}"))
    hidden = []
    for index in (1, 2):
        hidden.append(dense(8 * width, use_bias=True)(f"hidden_{index}"))
        hidden.append(layers.ReLU(name=f"hidden_{index}_relu"))
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            *convolutions,
            layers.Flatten(name="flatten"),
            *hidden,
            dense(classes, use_bias=True)("logits"),
        ],
        name=name,
    )
