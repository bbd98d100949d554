"""Observing and changing what inner layers compute, and leaving no trace."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_invprune.graph.observe import (
    activations_through,
    changed_before_activation,
    observed,
)

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    steps = [layers.Dense(5, "tanh"), layers.BatchNormalization(), layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *steps])


def by_hand(model, change=lambda z: z):
    """The same network in NumPy; `change` takes the place of the first layer's z."""
    first, normalize, last = model.layers
    z = change(X @ first.kernel.numpy() + first.bias.numpy())
    normalized = np.tanh(z) / np.sqrt(1 + normalize.epsilon)
    return normalized @ last.kernel.numpy() + last.bias.numpy()


def test_every_output_is_observed_once():
    model, seen = network(), []
    with observed(model.layers, lambda layer, output: seen.append((layer, output))):
        outputs = model(X)
    assert [layer for layer, _ in seen] == model.layers
    np.testing.assert_array_equal(seen[-1][1], outputs)


def test_an_activation_is_replaced_by_a_function_of_it():
    model = network()
    with activations_through(model.layers[:1], lambda own, z: own(2 * z)):
        found = model(X)
    np.testing.assert_allclose(found, by_hand(model, lambda z: 2 * z), 1e-5, 1e-6)


def test_what_an_activation_gets_is_replaced_and_inputs_are_shown():
    model, seen = network(), []

    def change(layer, inputs, z):
        seen.append((layer, inputs))
        return z + 1 if layer is model.layers[0] else z

    with changed_before_activation(model.layers, change):
        found = model(X)
    np.testing.assert_allclose(found, by_hand(model, lambda z: z + 1), 1e-5, 1e-6)
    assert [layer for layer, _ in seen] == model.layers
    np.testing.assert_array_equal(seen[0][1], X)


@pytest.mark.parametrize(
    "changed",
    [
        lambda model: observed(model.layers, lambda *_: None),
        lambda model: activations_through(model.layers[::2], lambda _, z: 0 * z),
        lambda model: changed_before_activation(model.layers, lambda *all: 0 * all[-1]),
    ],
    ids=["observed", "activations", "before"],
)
def test_afterwards_layers_are_as_before_also_after_an_error(changed):
    model = network()
    before = [dict(vars(layer)) for layer in model.layers]
    with contextlib.suppress(ValueError), changed(model):
        model(X)
        raise ValueError
    for layer, attributes in zip(model.layers, before, strict=True):
        for name in ("call", "activation", "activity_regularizer"):
            assert vars(layer).get(name) is attributes.get(name)
    np.testing.assert_allclose(model(X), by_hand(model), 1e-5, 1e-6)
