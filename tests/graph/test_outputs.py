"""Outputs of a copy are compared on inputs that the model takes."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_invprune.compaction.distance import _errors
from keras_invprune.graph import outputs
from keras_invprune.graph.copying import copy_model
from keras_invprune.graph.outputs import answered


class Hides(layers.Layer):
    """Does `apply(x, value)`, where neither config nor attributes tell the value."""

    def __init__(self, apply, value=1.0, **options):
        super().__init__(**options)
        self.apply = apply
        self.hidden = tf.function(lambda x: apply(x, value))

    def call(self, x):
        return self.hidden(x)

    def get_config(self):
        return {**super().get_config(), "apply": self.apply}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("apply")), **config)


def times(x, value):
    return x * value


def rows(*body, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *body, layers.Dense(3)])


def refused(model, mode=""):
    with pytest.raises(ValueError, match=f"different outputs.*{mode}"):
        copy_model(model)


@pytest.mark.parametrize("cap", [20.0, 255.0])
def test_what_acts_on_large_inputs_only_is_seen(cap):
    def capped(x, value):
        return ops.minimum(x, cap * value)

    copy_model(rows(Hides(capped)))
    refused(rows(Hides(capped, 2.0)))


def test_indices_cover_the_embedding_that_reads_them():
    def wrapped(x, value):
        return ops.where(x > int(100 * value), x - 100, x)

    inputs = keras.Input((2,), dtype="int32")

    def model(value):
        x = layers.Embedding(200, 3)(Hides(wrapped, value)(inputs))
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))

    copy_model(model(1))
    refused(model(1.5))


def test_a_small_channel_next_to_a_huge_one_is_seen():
    inputs = keras.Input((4,))
    huge = layers.Dense(1)(inputs) * 1e7
    small = layers.Dense(1)(Hides(times, 2.0)(inputs))
    refused(keras.Model(inputs, layers.Concatenate()([huge, small])))


class Reads(layers.Layer):
    """Numbers written as text."""

    def call(self, x):
        return tf.strings.to_number(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "float32")


class Asserts(layers.Layer):
    """Rejects what lies outside of its bounds."""

    def __init__(self, low, high, **options):
        super().__init__(**options)
        self.low, self.high = low, high

    def call(self, x):
        tf.debugging.assert_greater_equal(x, self.low)
        tf.debugging.assert_less_equal(x, self.high)
        return x

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


@pytest.mark.parametrize(
    "first, dtype",
    [
        (Reads, "string"),
        (lambda: Asserts(0.0, 1.0), "float32"),
        (lambda: Asserts(1.0, 9.0), "float32"),
        (lambda: Asserts(0, 1), "int32"),
    ],
)
def test_inputs_are_drawn_until_the_model_takes_them(first, dtype):
    inputs = keras.Input((2,), dtype=dtype)
    for value in (1.0, 3.0):
        x = ops.cast(first()(inputs), "float32")
        model = keras.Model(inputs, layers.Dense(3)(Hides(times, value)(x)))
        if value == 1:
            copy_model(model)
        else:
            refused(model)


def test_a_model_that_rejects_all_inputs_is_reported(caplog):
    with caplog.at_level(logging.WARNING, "keras_invprune"):
        copy_model(rows(Asserts(-8.5, -8.0)))
    assert "rejects all drawn inputs" in caplog.text


class Noise(layers.Layer):
    def call(self, x):
        return x + 1e-2 * tf.random.normal(tf.shape(x))


def test_a_random_model_is_compared_with_its_own_spread(caplog):
    tf.random.set_seed(0)
    with caplog.at_level(logging.WARNING, "keras_invprune"):
        copy_model(rows(Noise(), Hides(times)))
    assert "The model's outputs are random" in caplog.text
    refused(rows(Noise(), Hides(times, 100.0)))


def test_training_mode_is_compared_too():
    class Trained(Hides):
        def call(self, x, training=False):
            return self.hidden(x) if training else x

    copy_model(rows(Trained(times)))
    refused(rows(Trained(times, 2.0)), "in training mode")


def test_added_losses_are_compared():
    class Penalty(Hides):
        def call(self, x):
            self.add_loss(self.hidden(ops.sum(x)))
            return x

    copy_model(rows(Penalty(times)))
    refused(rows(Penalty(times, 2.0)))


def test_a_fixed_batch_of_one_is_compared_at_all_scales():
    def capped(x, value):
        return ops.minimum(x, 255.0 * value)

    inputs = keras.Input(batch_shape=(1, 4))
    for value in (1.0, 2.0):
        model = keras.Model(inputs, layers.Dense(3)(Hides(capped, value)(inputs)))
        if value == 1:
            assert np.shape(copy_model(model)(np.ones((1, 4)))) == (1, 3)
        else:
            refused(model)


def test_outputs_that_overflow_are_compared_without_a_warning():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, "exponential")])
    model.set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])  # one is infinite
    assert any(np.isinf(output).any() for _, (output,) in answered(model))
    copy_model(model)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (np.inf, np.inf, 0.0),
        (np.nan, np.nan, 0.0),
        (np.inf, -np.inf, np.inf),
        (np.inf, 1.0, np.inf),
        (np.nan, 1.0, np.inf),
        (1.0, np.nan, np.inf),
        (np.nan, np.inf, np.inf),
        (1.5, 1.0, 0.5),
    ],
)
def test_only_equal_values_that_are_not_finite_are_alike(dtype, one, other, difference):
    one, other = (np.array([[value, 2.0]], dtype) for value in (one, other))
    assert outputs._distance([one], [other]) == difference
    assert outputs._near(one, other, 0.1) == (difference == 0)


def test_the_difference_of_the_largest_numbers_overflows_without_a_warning():
    largest = np.full((1, 1), np.finfo("float64").max)
    assert outputs._distance([largest], [-largest]) == np.inf
    assert _errors(largest, -largest) == np.inf
