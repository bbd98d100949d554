"""DST: thresholds that are learned, against the paper's gradients in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.schedules import OneShot
from keras_invprune.scores import DST
from keras_invprune.scores.dst import step

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
W = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
RATE = 0.1


def linear(score, **choices):
    layer = keras.layers.Dense(3, use_bias=False, name="only")
    network = keras.Sequential([keras.Input((4,)), layer])
    network.set_weights([W])
    choices = {"schedule": "manual"} | choices
    model = kip.prune(network, 0.5, select=["only"], score=score, **choices)
    model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=False)
    return model


def tail(x):
    """The long-tailed estimator: the derivative in place of the step's."""
    size = np.abs(x)
    return np.where(size <= 0.4, 2 - 4 * size, np.where(size <= 1, 0.4, 0.0))


def test_the_step_and_its_gradient():
    x = tf.constant(np.linspace(-1.5, 1.5, 61, dtype="float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    np.testing.assert_array_equal(y, x.numpy() > 0)
    found, expected = tape.gradient(y, x).numpy(), tail(x.numpy())
    border = np.abs(np.abs(x.numpy()) - 1) < 1e-3
    np.testing.assert_allclose(found[~border], expected[~border], atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_weights_and_thresholds_learn_as_in_the_paper(alpha):
    model, weight, threshold = linear(DST(alpha)), W.copy(), np.zeros(3, "float32")
    for _ in range(5):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
        margin = np.abs(weight) - threshold
        on = margin > 0
        slope = 2 * X.T @ (X @ (weight * on) - Y) / Y.size  # ∂L/∂w'
        through = slope * weight * tail(margin)
        weight = weight - RATE * (slope * on + through * np.sign(weight))
        rise = alpha * np.exp(-threshold) + through.sum(0)
        threshold = threshold + RATE * rise
        own = model.masked.own["only/kernel"][0].numpy()
        np.testing.assert_allclose(own, threshold, 1e-4, 1e-6)
        np.testing.assert_allclose(model.inner.get_weights()[0], weight, 1e-4, 1e-6)
    model.prune_to(0.5)
    margin = np.abs(weight) - threshold
    expected = margin >= np.sort(margin, axis=None)[-6]
    np.testing.assert_array_equal(model.masks["only/kernel"], expected)


def test_a_heavier_penalty_turns_more_off_in_a_real_training():
    data = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = (data.data / 16).astype("float32"), data.target
    shares = []
    for penalty in (1e-5, 1e-2):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
        network = keras.Sequential([keras.Input((64,)), *layers])
        model = kip.prune(network, 0.8, score=DST(penalty), schedule=OneShot(0.8))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        logs = model.fit(x, y, epochs=8, batch_size=64, verbose=0).history
        assert logs["sparsity"][-1] == pytest.approx(0.8, abs=1e-3)
        assert logs["accuracy"][-1] > 0.9
        ((threshold, *_),) = model.masked.own.values()
        shares.append(float(threshold.numpy().mean()))
    assert shares[1] > shares[0]


def test_arguments_and_config():
    with pytest.raises(ValueError, match="penalty=-1"):
        DST(-1)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(DST(0.25))
    )
    assert again.get_config() == {"penalty": 0.25} and again.effective.alpha == 0.25
    with pytest.raises(ValueError, match="prunes before the first step"):
        linear(DST(), schedule="at_init")
    with pytest.raises(ValueError, match="one update of the masks"):
        linear(DST(), schedule="gradual")
