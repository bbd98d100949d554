"""ResNet-18."""

import keras
from keras import layers

from keras_invprune_lab.models import blocks
from keras_invprune_lab.models.blocks import EMBEDDING, dense, norm


def resnet18(input_shape, classes, width=64, name="resnet_18"):
    """Make ResNet-18 with its stem for ImageNet: 7x7 convolution and pooling.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: Filters of the first stage; each of the next three has twice as many.
        name: Name of the model.

    Returns:
        A Functional model with outputs of shape [batch, classes].

    Source:
        He et al. 2016, Deep residual learning (1512.03385), table 1, as in
        torchvision, which the authors' code of 2309.08171 uses for 32 x 32 images.
    """
    inputs = keras.Input(input_shape, name="input")
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(
        _stem(inputs, width, 7, 2)
    )
    return keras.Model(inputs, _stages(x, classes, width), name=name)


def resnet18_small(input_shape, classes, width=64, name="resnet_18_small"):
    """Make ResNet-18 for small images: its stem is a 3x3 convolution, without pooling.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: Filters of the first stage; each of the next three has twice as many.
        name: Name of the model.

    Returns:
        A Functional model with outputs of shape [batch, classes].

    Source:
        He et al. 2016 (1512.03385), table 1, with the stem of their networks for
        CIFAR-10, as is common for 32 x 32 images.
    """
    inputs = keras.Input(input_shape, name="input")
    x = _stem(inputs, width, 3, 1)
    return keras.Model(inputs, _stages(x, classes, width), name=name)


def _stem(inputs, width, size, stride):
    x = norm("stem_norm")(conv(width, size, stride)("stem")(inputs))
    return layers.ReLU(name="stem_relu")(x)


def _stages(x, classes, width):
    """Return the logits after four stages of two blocks each."""
    for stage in range(4):
        for index in range(2):
            stride = 2 if stage and not index else 1
            x = _residual(x, width * 2**stage, stride, f"stage_{stage + 1}_{index + 1}")
    x = layers.GlobalAveragePooling2D(name=EMBEDDING)(x)
    return dense(classes, use_bias=True)("logits")(x)


def conv(filters, size, stride=1):
    """Return a convolution that starts as torchvision's do: N(0, 2 / fan_out)."""
    normal = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    return blocks.conv(filters, size, stride, normal)


def _residual(x, filters, stride, name):
    """Add a basic block: relu(x + norm(conv(relu(norm(conv(x))))))."""
    y = norm(f"{name}_norm_1")(conv(filters, 3, stride)(f"{name}_conv_1")(x))
    y = layers.ReLU(name=f"{name}_relu_1")(y)
    y = norm(f"{name}_norm_2")(conv(filters, 3)(f"{name}_conv_2")(y))
    if stride > 1:
        x = norm(f"{name}_norm_0")(conv(filters, 1, stride)(f"{name}_conv_0")(x))
    return layers.ReLU(name=f"{name}_relu_2")(layers.Add(name=f"{name}_add")([x, y]))
