"""Networks of the experiments. All end in logits."""

import keras
from keras import layers


def mlp(input_shape, classes, units=(300, 100), name="mlp"):
    """A fully connected ReLU network; (300, 100) is LeNet-300-100.

    Args:
        input_shape: Shape of one input; flattened.
        classes: Number of classes.
        units: Widths of the hidden layers.
        name: Name of the model.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        LeCun et al. 1998, Gradient-based learning applied to document
        recognition, section III.C.4.
    """
    hidden = [
        layers.Dense(width, activation="relu", name=f"hidden_{index}")
        for index, width in enumerate(units, start=1)
    ]
    return keras.Sequential(
        [
            keras.Input(input_shape, name="input"),
            layers.Flatten(name="flatten"),
            *hidden,
            layers.Dense(classes, name="logits"),
        ],
        name=name,
    )


def small_convnet(input_shape, classes, filters=(16, 32), name="small_convnet"):
    """Two 3x3 convolutions with pooling, a hidden layer of 64, logits.

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
