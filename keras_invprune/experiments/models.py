"""Networks of the experiments. All end in logits."""

import keras
from keras import layers

from keras_invprune.identifiers import resolve


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


def _lenet(shape, classes):
    return mlp(shape, classes, name="lenet_300_100")


def _mlp_tab(shape, classes):
    return mlp(shape, classes, (128, 128, 128), name="mlp_tab")


MODELS = {
    "mlp": lambda shape, classes: mlp(shape, classes, (256, 128)),
    "lenet-300-100": _lenet,
    "convnet": small_convnet,
    "mlp-tab": _mlp_tab,
}


def get_model(name, data):
    """The network of that name for the data; None for one that suits them.

    Raises:
        ValueError: An unknown name (near matches are named), or a convolutional
            network for rows.
    """
    shape = data.x_train.shape[1:]
    make = resolve(name or _suitable(shape), MODELS, "model")
    if make is small_convnet and len(shape) != 3:
        raise ValueError(f"'convnet' needs images. Received: rows of shape {shape}.")
    return make(shape, data.classes)


def _suitable(shape) -> str:
    if len(shape) == 1:
        return "mlp-tab"
    if max(shape[:2]) <= 16:
        return "mlp"
    return "lenet-300-100" if shape == (28, 28, 1) else "convnet"
