"""Tiny models of every kind, by name: what the package must be able to prune.

Custom classes are registered, so that a fresh process that imports this file alone
can load what was saved.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

ROWS = 6
CLASSES = 3
CLASSIFY = "sparse_categorical_crossentropy"


class Case(NamedTuple):
    """A model with data to train it on, and how to prune it."""

    model: keras.Model
    x: Any
    y: Any
    loss: Any
    select: Any = None
    copy: bool = True


register = keras.saving.register_keras_serializable(package="zoo")
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def floats(*shape):
    return np.random.default_rng(0).normal(size=(ROWS, *shape)).astype("float32")


def tokens(length=5):
    # Ends in zeros, which Embedding(mask_zero=True) masks; no row is all zeros.
    values = np.random.default_rng(0).integers(1, 8, (ROWS, length))
    lengths = 1 + np.arange(ROWS)[:, None] % length
    return np.where(np.arange(length) < lengths, values, 0).astype("int32")


def labels():
    return np.arange(ROWS) % CLASSES


def head(**options):
    return layers.Dense(CLASSES, activation="softmax", name="head", **options)


def classifier(x, *body, dtype="float32", **options):
    """A Sequential model of `body` and a head, for the inputs `x`."""
    inputs = keras.Input(x.shape[1:], dtype=dtype)
    model = keras.Sequential([inputs, *body, layers.Flatten(), head()])
    return Case(model, x, labels(), CLASSIFY, **options)


def functional(inputs, outputs, x, **options):
    return Case(keras.Model(inputs, outputs), x, labels(), CLASSIFY, **options)


# One kind of layer each


@case
def dense():
    return classifier(floats(4), layers.Dense(6, activation="relu"))


@case
def conv_1d():
    return classifier(floats(5, 2), layers.Conv1D(3, 2, activation="relu"))


@case
def conv_2d():
    return classifier(
        floats(6, 6, 1), layers.Conv2D(2, 3, activation="relu"), layers.Conv2D(2, 3)
    )


@case
def conv_3d():
    return classifier(floats(3, 3, 3, 1), layers.Conv3D(3, 2, activation="relu"))


@case
def conv_2d_transpose():
    return classifier(floats(3, 3, 1), layers.Conv2DTranspose(2, 2, strides=2))


@case
def separable_conv_2d():
    return classifier(floats(4, 4, 3), layers.SeparableConv2D(4, 2))


@case
def depthwise_conv_2d():
    return classifier(
        floats(4, 4, 3),
        layers.DepthwiseConv2D(2, name="depthwise"),
        select=lambda key, layer: "depthwise" in key,
    )


@case
def einsum_dense():
    return classifier(floats(4, 3), layers.EinsumDense("abc,cd->abd", (4, 5)))


@case
def attention():
    inputs = keras.Input((4, 3))
    x = layers.MultiHeadAttention(num_heads=2, key_dim=3)(inputs, inputs)
    x = layers.LayerNormalization()(inputs + x)
    x = layers.GlobalAveragePooling1D()(x)
    return functional(inputs, head()(x), floats(4, 3))


@case
def lstm():
    return classifier(floats(4, 3), layers.LSTM(4))


@case
def gru():
    return classifier(floats(4, 3), layers.GRU(4))


@case
def bidirectional():
    return classifier(floats(4, 3), layers.Bidirectional(layers.LSTM(3)))


@case
def time_distributed():
    return classifier(floats(4, 3), layers.TimeDistributed(layers.Dense(4)))


@case
def embedding():
    return classifier(
        tokens(),
        layers.Embedding(8, 4, name="words"),
        dtype="int32",
        select=["words", "head"],
    )


@case
def embedding_with_mask():
    return classifier(
        tokens(),
        layers.Embedding(8, 4, mask_zero=True, name="words"),
        layers.LSTM(4, name="lstm"),
        dtype="int32",
        select=["words", "lstm"],
    )


@case
def lambda_layer():
    return classifier(floats(4), layers.Dense(5), layers.Lambda(halve))


@register
def halve(x):
    return x / 2.0


@register
class Lookup(layers.Layer):
    """A layer of a kind that nobody knows; "table" is no name of a kernel."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=(input_shape[-1], 4), name="table")

    def call(self, x):
        return ops.matmul(x, self.table)


@case
def unknown_layer():
    return classifier(floats(4), Lookup(), layers.Dense(5))


@case
def regularizers():
    return classifier(
        floats(4),
        layers.Dense(6, kernel_regularizer="l2", activity_regularizer="l1"),
        layers.Dense(5, kernel_regularizer="l1", activation="relu"),
    )


@case
def batch_norm_and_dropout():
    return classifier(
        floats(4),
        layers.Dense(8),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.5, name="dropout"),
    )


# Topologies


@case
def nested_with_one_name():
    def block(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(4, name="same")(inputs), name=name)

    inputs = keras.Input((4,))
    x = block("second")(block("first")(inputs))
    return functional(inputs, head()(x), floats(4))


@case
def shared_layer():
    shared = layers.Dense(4, activation="relu", name="shared")
    inputs = keras.Input((4,))
    return functional(inputs, head()(shared(shared(inputs))), floats(4))


@case
def shared_by_nested_models():
    shared = layers.Dense(4, name="shared")

    def block(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(4)(shared(inputs)), name=name)

    inputs = keras.Input((4,))
    x = block("left")(inputs) + block("right")(inputs)
    return functional(inputs, head()(x), floats(4))


@case
def several_inputs():
    inputs = [keras.Input((4,), name="a"), keras.Input((3,), name="b")]
    branches = [layers.Dense(5, activation="relu")(x) for x in inputs]
    x = layers.Concatenate()(branches)
    return functional(inputs, head()(x), [floats(4), floats(3)])


@case
def dict_of_inputs():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((3,), name="b")}
    x = layers.Concatenate()([layers.Dense(5)(inputs[key]) for key in "ab"])
    return functional(inputs, head()(x), {"a": floats(4), "b": floats(3)})


@case
def several_outputs():
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation="relu", name="body")(inputs)
    logits = layers.Dense(CLASSES, name="logits")(x)
    outputs = {
        "kind": layers.Softmax(name="kind")(logits),
        "size": layers.Dense(1, name="size")(x),
    }
    model = keras.Model(inputs, outputs)
    y = {"kind": labels(), "size": floats(1)}
    return Case(model, floats(4), y, {"kind": CLASSIFY, "size": "mse"})


@case
def operations():
    inputs = keras.Input((4,))
    x = ops.relu(layers.Dense(6)(inputs)) * 2.0
    return functional(inputs, ops.softmax(head()(x)), floats(4))


# Precision


def in_float16(make):
    """Calls `make` while Keras makes layers of mixed precision."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return make()
    finally:
        keras.config.set_dtype_policy("float32")


@case
def mixed_float16():
    return in_float16(dense)


@case
def mixed_float16_with_float32_head():
    def make():
        inputs = keras.Input((4,))
        x = layers.Dense(6, activation="relu")(inputs)
        return functional(inputs, head(dtype="float32")(x), floats(4))

    return in_float16(make)


# Subclassed


@register
class Subclassed(keras.Model):
    """Has its layers in attributes, lists and dicts."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.first = layers.Dense(units, activation="relu")
        self.blocks = [[layers.Dense(units)], [layers.Dense(units)]]
        self.drop = layers.Dropout(0.5)
        self.tops = {"out": head()}

    def call(self, x, training=None):
        x = self.first(x)
        for (block,) in self.blocks:
            x = self.drop(block(x), training=training)
        return self.tops["out"](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@case
def subclassed():
    model = Subclassed(4)
    model(floats(4))
    return Case(model, floats(4), labels(), CLASSIFY)


@register
class SubclassedOfDict(keras.Model):
    """Takes a dict of inputs."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = layers.Dense(5)
        self.second = layers.Dense(5)
        self.head = head()

    def call(self, inputs):
        return self.head(self.first(inputs["a"]) + self.second(inputs["b"]))


@case
def subclassed_of_dict():
    x = {"a": floats(4), "b": floats(3)}
    model = SubclassedOfDict()
    model(x)
    return Case(model, x, labels(), CLASSIFY)


@register
class Functionally(keras.Model):
    """A subclass that builds a graph in its constructor."""

    def __init__(self, units, **options):
        inputs = keras.Input((4,))
        x = layers.Dense(units, activation="relu", name="body")(inputs)
        super().__init__(inputs=inputs, outputs=head()(x), **options)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


@case
def subclass_of_functional():
    return Case(Functionally(5), floats(4), labels(), CLASSIFY)


class Unregistered(keras.Model):
    """Cannot be rebuilt: it has no config, because a layer is its argument."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.head = head()

    def call(self, x):
        return self.head(self.body(x))


@case
def unregistered():
    model = Unregistered(layers.Dense(5, name="body"))
    model(floats(4))
    return Case(model, floats(4), labels(), CLASSIFY, copy=False)


@register
class Residual(layers.Layer):
    """Keras cannot tell its output's shape inside TimeDistributed."""

    def build(self, input_shape):
        self.dense = layers.Dense(input_shape[-1], name="dense")
        self.dense.build(input_shape)

    def call(self, x):
        return x + self.dense(x)


@case
def without_shapes():
    """A Sequential that has no symbolic tensors, though it is built and trained."""
    each = layers.TimeDistributed(Residual(name="residual"), name="each")
    made = classifier(floats(2, 4), each)
    made.model(made.x)
    return made


# Kinds that cannot be made again from their config: these are pruned with copy=False.
NOT_COPIED = ["unregistered"]
# Keras 3.15 cannot load these: of a layer that two nested models share it makes two.
NOT_LOADED = ["shared_by_nested_models", "unregistered"]
