"""Inputs of layers, and derivatives with respect to their outputs."""

import contextlib
import math
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import ops

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.observe import changed_before_activation
from keras_invprune.graph.weights import walk

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)


class Tap:
    """One call of a Dense, convolution or BatchNorm layer.

    Attributes:
        layer: The layer.
        inputs: A, [batch, positions, features]: the factor of the layer's first weight.
            A position of a convolution is a patch of its input; BatchNorm's features
            are its normalized inputs.
        shift: Zeros that are added to the layer's outputs before the activation. The
            derivative with respect to them is that with respect to the outputs.
    """

    def __init__(self, layer: keras.Layer, inputs: Nested, shift: Tensor):
        self.layer, self.shift = layer, shift
        self.inputs = _positions(layer, inputs)

    @property
    def scales(self) -> bool:
        """Whether each feature has a factor of its own."""
        return isinstance(self.layer, keras.layers.BatchNormalization)

    @property
    def weights(self) -> tuple:
        """The pair (factor, addend), each a variable or None."""
        if self.scales:
            return self.layer.gamma, self.layer.beta
        return self.layer.kernel, self.layer.bias if self.layer.use_bias else None


def tappable(layer: keras.Layer) -> bool:
    """Return whether a layer's outputs are products of its weight and positions."""
    if getattr(layer, "lora_enabled", False):
        return False  # its kernel is a sum
    if type(layer) in CONVOLUTIONS:  # a subclass may do something else
        return layer.groups == 1 and layer.data_format == "channels_last"
    if type(layer) is keras.layers.BatchNormalization:
        return layer.axis in (-1, layer.input_spec.ndim - 1)
    return type(layer) is keras.layers.Dense


@contextlib.contextmanager
def tapped(model: keras.Model, tape: tf.GradientTape) -> Iterator[list[Tap]]:
    """Yield a list that receives a `Tap` for each call of a tappable layer.

    Args:
        model: A Keras model.
        tape: `tf.GradientTape` that watches the shifts.
    """
    found: list[Tap] = []

    def shifted(layer: keras.Layer, inputs: Tensor, z: Tensor) -> Tensor:
        shift = tf.zeros_like(z)
        tape.watch(shift)
        found.append(Tap(layer, inputs, shift))
        return z + shift

    layers = [layer for _, layer in walk(model) if tappable(layer)]
    with changed_before_activation(layers, shifted):
        yield found


def _positions(layer: keras.Layer, inputs: Tensor) -> Tensor:
    if isinstance(layer, CONVOLUTIONS):
        inputs = _patches(layer, inputs)
    if isinstance(layer, keras.layers.BatchNormalization):
        centered = ops.cast(inputs, "float32") - layer.moving_mean
        inputs = centered * ops.rsqrt(layer.moving_variance + layer.epsilon)
    if None in inputs.shape[1:]:
        raise ValueError(
            "The tangent kernel needs inputs of a known size. Received: the layer "
            f"{layer.name!r} with inputs of shape {tuple(inputs.shape)}. Pad all "
            "batches to one length, and give the model an Input of that shape."
        )
    positions = math.prod(inputs.shape[1:-1])
    return ops.reshape(inputs, (-1, positions, inputs.shape[-1]))


def _patches(layer: keras.Layer, inputs: Tensor) -> Tensor:
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    padding = layer.padding
    if isinstance(layer, keras.layers.Conv1D):
        if padding == "causal":
            left = dilation[0] * (size[0] - 1)
            inputs, padding = ops.pad(inputs, [[0, 0], [left, 0], [0, 0]]), "valid"
        # As a convolution of one row of pixels.
        inputs, size = ops.expand_dims(inputs, 1), (1, *size)
        strides, dilation = (1, *strides), (1, *dilation)
    return tf.image.extract_patches(
        inputs,
        [1, *size, 1],
        [1, *strides, 1],
        [1, *dilation, 1],
        padding.upper(),
    )
