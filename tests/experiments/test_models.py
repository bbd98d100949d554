"""Which network suits which data, and what each is made of."""

import keras
import numpy as np
import pytest

from keras_invprune.experiments.data import Data
from keras_invprune.experiments.models import MODELS, get_model


def data(*shape, classes=3):
    x, y = np.zeros((classes, *shape), "float32"), np.arange(classes)
    return Data(x, y, x, y)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((4,), "mlp_tab"),
        ((857,), "mlp_tab"),
        ((8, 8, 1), "mlp"),
        ((16, 16, 1), "mlp"),
        ((8, 64, 1), "small_convnet"),
        ((28, 28, 1), "lenet_300_100"),
        ((28, 28, 3), "small_convnet"),
        ((32, 32, 3), "small_convnet"),
    ],
)
def test_the_network_that_suits_the_data(shape, name):
    model = get_model(None, data(*shape))
    assert model.name == name
    assert model.input_shape == (None, *shape) and model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("mlp", [256, 128, 3]),
        ("lenet-300-100", [300, 100, 3]),
        ("mlp-tab", [128, 128, 128, 3]),
    ],
)
def test_widths(name, units):
    dense = [
        layer
        for layer in get_model(name, data(8, 8, 1)).layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert [layer.units for layer in dense] == units


@pytest.mark.parametrize("name", MODELS)
def test_weights_have_names_of_their_own_and_outputs_are_logits(name):
    model = get_model(name, data(8, 8, 1))
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].activation is keras.activations.linear
