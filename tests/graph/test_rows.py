"""Rows that a model keeps apart are run a few at a time, and no others."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_invprune.graph import rows as module
from keras_invprune.graph.outputs import outputs_of
from keras_invprune.graph.rows import keeps_rows_apart, parts_of


def of_images(*body, build=None):
    x = keras.Input((8, 8, 3))
    y = build(x) if build else keras.Sequential(body)(x)
    return keras.Model(x, y)


class Own(layers.Layer):
    def call(self, x):
        return x - ops.mean(x, 0, keepdims=True)


def test_rows_are_apart_where_that_is_known():
    def residual(x):
        y = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
        return layers.Flatten()(layers.BatchNormalization()(y) + x)

    assert keeps_rows_apart(of_images(build=residual))
    assert keeps_rows_apart(of_images(layers.LayerNormalization(), layers.Dense(2)))


@pytest.mark.parametrize(
    "mixes",
    [
        Own(),
        layers.Lambda(lambda x: x - ops.mean(x, 0), output_shape=(8, 8, 3)),
        layers.Softmax(axis=0),
        layers.Softmax(axis=-4),
        layers.Dense(2, activation=lambda x: ops.softmax(x, 0)),
        lambda x: x - ops.mean(x, 0, keepdims=True),
        lambda x: x + layers.Flatten()(x)[:, :3],
        lambda x: layers.Concatenate(axis=0)([x, x]),
        layers.MelSpectrogram(),
    ],
)
def test_rows_that_may_be_mixed_stay_together(mixes, monkeypatch):
    monkeypatch.setattr(module, "VALUES", 1)
    model = of_images(build=mixes)
    batch = tf.ones((4, 8, 8, 3))
    assert not keeps_rows_apart(model)
    assert parts_of(model, batch) == [batch]


def test_a_given_number_of_rows_stays(monkeypatch):
    monkeypatch.setattr(module, "VALUES", 1)
    x = keras.Input(batch_shape=(4, 3))
    batch = tf.ones((4, 3))
    assert parts_of(keras.Model(x, layers.Dense(2)(x)), batch) == [batch]


@pytest.mark.parametrize(("values", "parts"), [(12, 1), (11, 2), (3, 4), (1, 4)])
def test_large_rows_are_run_one_at_a_time(values, parts, monkeypatch):
    monkeypatch.setattr(module, "VALUES", values)
    x = keras.Input((3,))
    y = layers.Dense(2)(x)
    model = keras.Model(x, [y, layers.Dense(3)(y)])
    batch = ops.convert_to_tensor(np.arange(12, dtype="float32").reshape(4, 3))
    assert len(parts_of(model, batch)) == parts
    together = outputs_of(model, batch)
    for one, other in zip(
        together, outputs_of(model, batch, in_parts=True), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)
