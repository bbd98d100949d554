"""Which tensors are never negative: each rule is right on drawn inputs."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_invprune.graph.signs import check_inputs, nonnegative_tensors
from keras_invprune.graph.trace import traced


def is_safe(*path, inputs=False, assumed=()):
    """Return whether the output of layers, one after the other, is never negative."""
    made = [
        type(x).from_config(x.get_config()) if isinstance(x, layers.Layer) else x
        for x in path
    ]
    y = x = keras.Input((4, 4, 3), name="x")
    for layer in made:
        y = layer(y)
    model = keras.Model(x, y)
    trace = traced(model)
    ids = [id(made[place]) for place in assumed]
    found = nonnegative_tensors(trace, inputs, ids)
    return id(keras.tree.flatten(trace.outputs)[0]) in found, model


NEVER_NEGATIVE = [
    layers.ReLU(),
    layers.ReLU(threshold=0.5, max_value=2.0),
    layers.Softmax(),
    layers.Activation("sigmoid"),
    layers.Dense(2, "softplus"),
    layers.Conv2D(2, 3, activation="relu"),
    layers.SeparableConv2D(2, 3, activation="relu"),
]
KEEPING = [
    layers.AveragePooling2D(2),
    layers.MaxPooling2D(2, padding="same"),
    layers.GlobalMaxPooling2D(),
    layers.Flatten(),
    layers.Reshape((8, 6)),
    layers.ZeroPadding2D(),
    layers.UpSampling2D(interpolation="bilinear"),
    layers.UpSampling2D(),
    layers.Rescaling(1 / 255, 0.5),
    layers.ReLU(negative_slope=0.1),
    layers.Dropout(0.5),
    layers.LeakyReLU(),
    layers.PReLU(),
    layers.ELU(),
    layers.Activation("tanh"),
    layers.Activation("selu"),
    layers.Activation("gelu"),
    layers.Dense(2, kernel_initializer="ones"),
    layers.Conv2D(2, 3, activation="leaky_relu", kernel_initializer="ones"),
    layers.DepthwiseConv2D(3, depthwise_initializer="ones"),
    layers.BatchNormalization(),
]
NOT_KNOWN = [
    layers.Dense(2),
    layers.Dense(2, "tanh"),
    layers.LayerNormalization(),
    layers.Rescaling(-1.0),
    layers.ReLU(negative_slope=0.1),
]


def smallest(model, x):
    return float(np.min(model.predict_on_batch(x)))


X = np.random.default_rng(0).normal(0, 10, (8, 4, 4, 3)).astype("float32")


def named(layer):
    return type(layer).__name__


@pytest.mark.parametrize("layer", NEVER_NEGATIVE, ids=named)
def test_these_give_nothing_negative(layer):
    safe, model = is_safe(layer)
    assert safe and smallest(model, X) >= 0


@pytest.mark.parametrize("layer", KEEPING, ids=named)
def test_these_keep_what_is_not_negative(layer):
    safe, model = is_safe(layer, inputs=True)
    assert safe and smallest(model, np.abs(X)) >= 0
    assert not is_safe(layer)[0]


NEGATIVE_ALL_THE_SAME = [
    layers.UpSampling2D(interpolation="bicubic"),
    layers.ReLU(threshold=1.0, negative_slope=0.5),
    layers.Rescaling(1.0, -1.0),
    layers.Dense(2, kernel_initializer=keras.initializers.Constant(-1.0)),
    layers.Dense(2, "elu", bias_initializer=keras.initializers.Constant(-900.0)),
]


@pytest.mark.parametrize("layer", NEGATIVE_ALL_THE_SAME, ids=named)
def test_these_may_make_it_negative(layer):
    safe, model = is_safe(layer, inputs=True)
    assert not safe and smallest(model, np.abs(X)) < 0


@pytest.mark.parametrize("layer", NOT_KNOWN, ids=named)
def test_these_may_give_anything(layer):
    assert not is_safe(layer)[0]


def test_a_constant_may_be_subtracted():
    assert is_safe(layers.ReLU(), lambda x: layers.Add()([x, x]))[0]
    assert not is_safe(layers.ReLU(), lambda x: x + (-5.0))[0]
    shifted = layers.BatchNormalization(beta_initializer=layers_constant(-1.0))
    assert not is_safe(layers.ReLU(), shifted)[0]


def layers_constant(value):
    return keras.initializers.Constant(value)


def test_weights_may_be_assumed():
    dense = [layers.Dense(3, act) for act in ("relu", "leaky_relu", "leaky_relu")]
    assert not is_safe(*dense)[0]
    assert not is_safe(*dense, assumed=[1])[0]
    assert is_safe(*dense, assumed=[1, 2])[0]


def test_inputs_are_declared_by_name():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    trace = traced(keras.Model([a, b], layers.Concatenate()([a, b])))
    assert len(nonnegative_tensors(trace, ["a"])) == 1
    assert len(nonnegative_tensors(trace, ["a", "b"])) == 3
    for wrong in (["a", "c"], "ab", None, 1):
        message = f"Received: nonnegative_inputs={wrong!r}. Known: ['a', 'b']"
        with pytest.raises(ValueError, match=re.escape(message)):
            check_inputs(trace, wrong)
