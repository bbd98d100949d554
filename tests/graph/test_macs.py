"""How often each kernel is used, against counts by hand."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_invprune.graph.macs import kernel_uses

TIMES = layers.TimeDistributed
RNN = {"cell/kernel": 5, "cell/recurrent_kernel": 5}
BY_HAND = {
    "vector": (layers.Dense(3), (4,), {"kernel": 1}),
    "sequence": (layers.Dense(3), (5, 4), {"kernel": 5}),
    "conv_1d": (layers.Conv1D(3, 2), (5, 4), {"kernel": 4}),
    "conv_2d": (layers.Conv2D(3, 3, padding="same"), (6, 8, 2), {"kernel": 48}),
    "strides": (layers.Conv2D(3, 2, strides=2), (6, 8, 2), {"kernel": 12}),
    "groups": (layers.Conv2D(4, 1, groups=2), (6, 8, 2), {"kernel": 48}),
    "transposed": (layers.Conv2DTranspose(3, 2, strides=2), (3, 4, 2), {"kernel": 12}),
    "depthwise": (layers.DepthwiseConv2D(2), (3, 4, 2), {"kernel": 6}),
    "separable": (
        layers.SeparableConv2D(5, 2),
        (3, 4, 2),
        {"depthwise_kernel": 6, "pointwise_kernel": 6},
    ),
    "einsum": (
        layers.EinsumDense("abc,cde->abde", (None, 2, 3)),
        (5, 4),
        {"kernel": 5},
    ),
    "lookup": (layers.Embedding(9, 2), (5,), {"embeddings": 0}),
    "loop": (layers.LSTM(3), (5, 4), RNN),
    "unrolled": (layers.GRU(3, unroll=True), (5, 4), RNN),
    "with_state": (layers.LSTM(3, return_sequences=True), (5, 4), RNN),
    "unknown": (zoo.Lookup(), (4,), {"table": None}),
    "at_each_step": (TIMES(layers.Dense(2)), (5, 4), {"layer/kernel": 5}),
    "at_each_step_twice": (
        TIMES(TIMES(layers.Dense(2))),
        (5, 3, 4),
        {"layer/layer/kernel": 15},
    ),
    "maps_at_each_step": (
        TIMES(layers.Conv2D(3, 2)),
        (5, 4, 6, 2),
        {"layer/kernel": 5 * 3 * 5},
    ),
    "loop_at_each_step": (
        TIMES(layers.LSTM(3)),
        (2, 5, 4),
        {f"layer/{key}": 2 * n for key, n in RNN.items()},
    ),
    "loop_of_convolutions": (
        layers.ConvLSTM2D(3, 2),
        (5, 4, 6, 2),
        {key: n * 3 * 5 for key, n in RNN.items()},
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_uses_are_those_counted_by_hand(name):
    layer, shape, expected = BY_HAND[name]
    layer = layer.__class__.from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer])
    found = kernel_uses(model, keras.ops.ones((1, *shape)))
    assert found == {f"{layer.name}/{key}": n for key, n in expected.items()}


def test_a_model_at_each_step_counts_each_step():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="dense")])
    model = keras.Sequential([keras.Input((5, 4)), TIMES(inner, name="times")])
    (uses,) = kernel_uses(model, np.zeros((1, 5, 4))).values()
    assert uses == 5


def test_a_layer_inside_and_outside_of_a_wrapper_counts_both():
    x, dense = keras.Input((5, 4)), layers.Dense(4)
    model = keras.Model(x, TIMES(dense)(x) + dense(x[:, 0])[:, None])
    (uses,) = kernel_uses(model, np.zeros((1, 5, 4))).values()
    assert uses == 6


def test_a_shared_layer_counts_each_call():
    case = zoo.shared_layer()
    assert kernel_uses(case.model, case.x[:1])["shared/kernel"] == 2


@pytest.mark.parametrize("name", zoo.CASES)
def test_counting_leaves_the_model_as_it_was(name):
    case = zoo.CASES[name]()
    model = case.model
    before = [variable.numpy() for variable in model.variables]
    penalties = [layer.activity_regularizer for layer in model.layers]
    kernel_uses(model, keras.tree.map_structure(lambda a: a[:1], case.x))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert [layer.activity_regularizer for layer in model.layers] == penalties


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "settings",
    [{"strides": 1}, {"strides": 2}, {"strides": (2, 3)}]
    + [{"strides": 2, "output_padding": 1}, {"dilation_rate": 2}],
    ids=str,
)
def test_a_transposed_convolution_uses_its_kernel_once_per_input_position(
    size, padding, settings
):
    layer = layers.Conv2DTranspose(1, size, padding=padding, name="up", **settings)
    model = keras.Sequential([keras.Input((4, 6, 2)), layer])
    assert kernel_uses(model, np.zeros((1, 4, 6, 2)))["up/kernel"] == 24
