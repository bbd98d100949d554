"""Networks of the experiments, by name. All end in logits.

To add one: a function ``(input_shape, classes, [width]) -> Keras model`` and its name
in `MODELS`.
"""

import inspect
from functools import partial

import keras
import numpy as np

from keras_invprune.graph.weights import walk
from keras_invprune.saving import named
from keras_invprune_lab.models.blocks import EMBEDDING
from keras_invprune_lab.models.convnets import cnn, conv4, lenet5, small_convnet, vgg16
from keras_invprune_lab.models.mlps import mlp, mlp_tab, mlp_vis
from keras_invprune_lab.models.recurrent import CELLS, recurrent
from keras_invprune_lab.models.resnet import resnet18, resnet18_small


def _lenet_300_100(shape, classes):
    return mlp(shape, classes, name="lenet_300_100")


def _small_mlp(shape, classes):
    return mlp(shape, classes, (256, 128))


def _mlp_100(shape, classes):
    return mlp(shape, classes, (100,), name="mlp_100", as_torch=True)


def _row_mlp(shape, classes):
    return mlp(shape, classes, (128, 128, 128), name="row_mlp")


def _deep_mlp(shape, classes, width=256):
    return mlp(shape, classes, (width,) * 8, name="deep_mlp")


RECURRENT = {name: partial(recurrent, cell=name) for name in CELLS}
MODELS = {
    "cnn": cnn,
    "conv-4": conv4,
    "convnet": small_convnet,
    "deep-mlp": _deep_mlp,
    "lenet-300-100": _lenet_300_100,
    "lenet-5": lenet5,
    "mlp": _small_mlp,
    "mlp-100": _mlp_100,
    "mlp-rows": _row_mlp,
    "mlp-tab": mlp_tab,
    "mlp-vis": mlp_vis,
    "resnet-18": resnet18,
    "resnet-18-small": resnet18_small,
    "vgg-16": vgg16,
    **RECURRENT,
}
FOR_IMAGES = {cnn, conv4, small_convnet, lenet5, resnet18, resnet18_small, vgg16}


def get_model(name, data, width=None):
    """Make the network of that name for the data; None for one that suits them.

    Args:
        name: One of `MODELS`, or None.
        data: `Data`.
        width: Its width, where it has one; None for the paper's.

    Raises:
        ValueError: If the name is unknown (near matches are named), or a network for
            images is asked for rows, one for letters for anything else or the other
            way round, or a width for a network of one size.
    """
    shape = data.x_train.shape[1:]
    letters = has_letters(data)
    name = name or ("gru" if letters else _suitable(shape))
    make = named(name, MODELS, "model")
    if letters != (name in RECURRENT):
        suitable = f"sequences of letters, such as {sorted(RECURRENT)} for reber:25000"
        raise ValueError(
            f"Only some models read {suitable}. Received: {name!r} for "
            f"{data.x_train.dtype} values of shape {shape}."
        )
    if make in FOR_IMAGES and len(shape) != 3:
        raise ValueError(f"{name!r} needs images. Received: rows of shape {shape}.")
    if width is None:
        return make(shape, data.classes)
    if not has_width(name):
        raise ValueError(f"{name!r} has only one size. Received: width={width}.")
    return make(shape, data.classes, width)


def has_letters(data) -> bool:
    """Return whether inputs are codes of letters, which recurrent networks read."""
    return np.issubdtype(data.x_train.dtype, np.integer)


def has_width(name) -> bool:
    """Return whether the network of that name comes in several widths."""
    return "width" in inspect.signature(MODELS[name]).parameters


def _suitable(shape) -> str:
    if len(shape) == 1:
        return "mlp-rows"
    if max(shape[:2]) <= 16:
        return "mlp"
    return "lenet-300-100" if shape == (28, 28, 1) else "convnet"


def standardized(model, images) -> keras.Model:
    """Put `model` behind a layer that gives each channel mean 0 and variance 1.

    So that views, and whoever uses the model, work on plain images.

    Args:
        model: A Keras model of images.
        images: [n, height, width, channels], what mean and variance are taken of.
    """
    mean = images.mean(axis=(0, 1, 2), dtype="float64")
    variance = images.var(axis=(0, 1, 2), dtype="float64")
    layer = keras.layers.Normalization(
        mean=mean.tolist(), variance=variance.tolist(), name="standardize"
    )
    inside = model.layers if isinstance(model, keras.Sequential) else [model]
    return keras.Sequential(
        [keras.Input(model.input_shape[1:], name="input"), layer, *inside],
        name=f"standardized_{model.name}",
    )


def embedding_layer(model: keras.Model) -> str | None:
    """Return the path of the encoder's last layer; None for the head's input."""
    paths = [path for path, _ in walk(model)]
    return next((p for p in paths if p.split("/")[-1] == EMBEDDING), None)


__all__ = [
    "EMBEDDING",
    "MODELS",
    "RECURRENT",
    "cnn",
    "conv4",
    "embedding_layer",
    "get_model",
    "has_letters",
    "has_width",
    "lenet5",
    "mlp",
    "mlp_tab",
    "mlp_vis",
    "recurrent",
    "resnet18",
    "resnet18_small",
    "small_convnet",
    "standardized",
    "vgg16",
]
