"""Models are run without keeping inner tensors: the same values, less memory."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_invprune.graph.frugal import frugal
from keras_invprune.graph.outputs import outputs_of


class Counts(layers.Layer):
    """Notes how many of the tensors that such layers made are still held."""

    made, most = [], 0

    def call(self, x):
        x = x + 1.0
        gc.collect()
        alive = [each for each in Counts.made if each() is not None]
        Counts.made = [*alive, weakref.ref(x)]
        Counts.most = max(Counts.most, len(Counts.made))
        return x


def chain(count=6):
    return keras.Sequential([keras.Input((3,)), *(Counts() for _ in range(count))])


def most_held(model):
    Counts.made, Counts.most = [], 0
    model(np.ones((2, 3), "float32"), training=False)
    return Counts.most


@pytest.mark.slow
def test_tensors_are_freed_after_their_last_use():
    outer = keras.Sequential([keras.Input((3,)), chain(), chain()])
    assert most_held(outer) == 7  # an inner model's, and what it read
    with frugal(outer):
        assert most_held(outer) <= 3
    assert most_held(outer) == 7  # an inner model's, and what it read


def branching():
    one, two = keras.Input((4,), name="one"), keras.Input((6,), name="two")
    shared, normal = layers.Dense(5, "relu"), layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(5), layers.Dropout(0.5)])
    x = inner(shared(one)) + layers.Dense(5)(two)
    y = layers.Dense(4)(normal(x))
    outputs = {"sum": layers.Add()([y, one]), "inner": x, "again": shared(y)}
    return keras.Model({"one": one, "two": two}, outputs)


def recurrent():
    x = keras.Input((None,), dtype="int32")
    y = layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 5, mask_zero=True)(x))
    y = layers.MultiHeadAttention(2, 3)(y, y)
    return keras.Model(x, [layers.GlobalAveragePooling1D()(y)])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [branching, recurrent])
def test_outputs_are_the_same(make, training):
    model, random = make(), np.random.default_rng(0)
    inputs = keras.tree.map_structure(
        lambda x: ops.cast(random.integers(0, 3, (3, x.shape[1] or 7)), x.dtype),
        model.input,
    )
    expected = outputs_of(model, inputs, training)
    with frugal(model), frugal(model):
        found = outputs_of(model, inputs, training)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    names = keras.tree.map_structure(lambda x: 0, model(inputs))
    with frugal(model):
        assert keras.tree.map_structure(lambda x: 0, model(inputs)) == names


def test_what_keras_converts_is_converted():
    inner = keras.Sequential([keras.Input((2, 1)), layers.Flatten(), layers.Dense(2)])
    x = np.arange(6).reshape(3, 2)  # integers, without the last axis
    expected = inner(x)
    with frugal(inner):
        np.testing.assert_array_equal(inner(x), expected)
        with pytest.raises(ValueError, match="incompatible|[Ii]nvalid"):
            inner(np.ones((3, 5, 5, 5)))


def test_evaluation_counts_more_than_training_in_a_graph():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dropout(0.9)(x, training=True))
    ones = np.ones((4, 3), "float32")
    expected = model(ones, training=False)
    with frugal(model):
        np.testing.assert_array_equal(model(ones, training=False), expected)


def test_an_inner_model_that_is_called_twice_is_told_not_to_train():
    def of(call):
        x = keras.Input((3,))
        return keras.Model(x, call(x))

    inner = of(layers.Dropout(0.9))
    outer = of(lambda x: inner(x, training=True))
    model = of(lambda x: outer(inner(x)))
    ones = np.ones((4, 3), "float32")
    with frugal(model):
        np.testing.assert_array_equal(model(ones, training=False), ones)


def test_a_call_of_ones_own_stays():
    class Own(keras.Model):
        def call(self, x):
            return super().call(x) + 1

    x = keras.Input((2,))
    model = Own(x, layers.Dense(2)(x))
    expected = model(np.ones((1, 2)))
    with frugal(model):
        np.testing.assert_array_equal(model(np.ones((1, 2))), expected)
