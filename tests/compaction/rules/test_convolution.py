"""Convolutions and what stands around them."""

import keras
import numpy as np
import pytest
from keras import layers

from compactions import compacted, sparse
from keras_invprune.compaction import compact, plan


def assign(layer, kernel, bias=None):
    layer.kernel.assign(kernel)
    if bias is not None:
        layer.bias.assign(bias)


def convnet(*inner, size=6, channels=2):
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            layers.Conv2D(5, 3, activation="relu", name="first"),
            *inner,
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )


def test_a_constant_map_is_folded_where_nothing_is_padded():
    model = convnet(layers.Conv2D(3, 2, name="second"))
    first, second = model.get_layer("first"), model.get_layer("second")
    kernel = first.kernel.numpy()
    kernel[..., 1] = 0
    assign(first, kernel, np.array([0.0, 2, 0, 0, 0]))
    made = compacted(model)
    assert made.get_layer("first").filters == 4
    expected = 2 * second.kernel.numpy()[:, :, 1].sum((0, 1))  # each sees all of it
    np.testing.assert_allclose(made.get_layer("second").bias, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["Conv2D", "SeparableConv2D"])
def test_sums_over_a_kernel_of_few_bits_are_not_rounded_on_the_way(kind):
    first = layers.Conv2D(3, 1, activation="relu", dtype="bfloat16")
    second = getattr(layers, kind)(1, 4, dtype="bfloat16")
    model = keras.Sequential([keras.Input((5, 5, 2), dtype="bfloat16"), first, second])
    kernel = first.kernel.numpy()
    kernel[..., 1] = 0
    assign(first, kernel, np.array([0.0, 1, 0]))
    spread = np.full((4, 4, 3, 1), 2**-9)
    spread[0, 0] = 1  # 1 + 2 ** -9 is 1 in bfloat16
    ones = [np.ones((1, 1, 3, 1))] * (kind == "SeparableConv2D")
    second.set_weights([spread, *ones, np.zeros(1)])
    made = compact(model)
    assert made.layers[0].filters == 2
    assert float(made.layers[1].bias.numpy()[0]) == 1 + 2**-5  # nearest 1 + 15 * 2**-9


def test_a_constant_that_reaches_a_padded_border_stays_unless_it_is_zero():
    model = convnet(layers.Conv2D(3, 3, padding="same", name="second"))
    first = model.get_layer("first")
    kernel = first.kernel.numpy()
    kernel[..., :2] = 0
    assign(first, kernel, np.array([0.0, 2, 0, 0, 0]))
    assert compacted(model).get_layer("first").filters == 4


def test_zeros_around_a_map_are_no_constant():
    model = convnet(layers.ZeroPadding2D(), layers.Conv2D(3, 3))
    first = model.get_layer("first")
    kernel = first.kernel.numpy()
    kernel[..., :2] = 0
    assign(first, kernel, np.array([0.0, 2, 0, 0, 0]))
    assert compacted(model).get_layer("first").filters == 4


def test_flatten_ties_all_positions_of_a_channel():
    model = convnet()
    head = model.get_layer("head")
    kernel = head.kernel.numpy().reshape(4, 4, 5, 2)
    kernel[:, :, 1] = 0
    kernel[1:, :, 3] = 0  # one row of positions is read
    assign(head, kernel.reshape(-1, 2))
    made = compacted(model)
    assert made.get_layer("first").filters == 4
    expected = kernel[:, :, [0, 2, 3, 4]].reshape(-1, 2)
    np.testing.assert_array_equal(made.get_layer("head").kernel, expected)


INNER = {
    "max_pool": lambda: [layers.MaxPooling2D(2)],
    "average_pool_same": lambda: [layers.AveragePooling2D(3, 1, padding="same")],
    "up": lambda: [layers.UpSampling2D(2)],
    "bilinear": lambda: [layers.UpSampling2D(2, interpolation="bilinear")],
    "crop": lambda: [layers.Cropping2D(1)],
    "pad": lambda: [layers.ZeroPadding2D(1), layers.Conv2D(4, 3)],
    "norm": lambda: [layers.BatchNormalization(), layers.Activation("relu6")],
    "prelu": lambda: [layers.PReLU(shared_axes=[1, 2])],
    "prelu_positions": lambda: [layers.PReLU()],
    "same": lambda: [layers.Conv2D(4, 3, padding="same", activation="sigmoid")],
    "one": lambda: [layers.Conv2D(4, 1, padding="same", use_bias=False)],
    "strided": lambda: [layers.Conv2D(4, 2, strides=2)],
    "dilated": lambda: [layers.Conv2D(4, 2, dilation_rate=2)],
    "transposed": lambda: [layers.Conv2DTranspose(4, 3, strides=2)],
    "transposed_one": lambda: [layers.Conv2DTranspose(4, 1)],
    "separable": lambda: [layers.SeparableConv2D(4, 2, depth_multiplier=2)],
    "separable_same": lambda: [layers.SeparableConv2D(4, 3, padding="same")],
    "depthwise": lambda: [layers.DepthwiseConv2D(2), layers.Conv2D(3, 1)],
    "depthwise_many": lambda: [
        layers.DepthwiseConv2D(
            3, depth_multiplier=3, padding="same", activation="relu"
        ),
        layers.Conv2D(3, 1),
    ],
    "dropout": lambda: [layers.SpatialDropout2D(0.5), layers.GaussianNoise(1.0)],
    "rescaled": lambda: [layers.Rescaling(0.5, 3.0), layers.Conv2D(4, 2)],
    "reshape": lambda: [layers.Reshape((8, 2, 5)), layers.Conv2D(4, 2)],
    "permute": lambda: [layers.Permute((2, 1, 3)), layers.Conv2D(4, 2)],
    "global": lambda: [layers.GlobalAveragePooling2D(keepdims=True)],
    "dense": lambda: [layers.Dense(4, "tanh")],
}


@pytest.mark.parametrize(("seed", "name"), [*enumerate(INNER)])
def test_random_networks(seed, name):
    model = sparse(convnet(*INNER[name]()), seed=seed)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


ONE_D = {
    "causal": lambda: [layers.Conv1D(4, 3, padding="causal")],
    "transposed": lambda: [layers.Conv1DTranspose(4, 3, strides=2)],
    "separable": lambda: [layers.SeparableConv1D(4, 2)],
    "depthwise": lambda: [layers.DepthwiseConv1D(2), layers.Conv1D(4, 1)],
    "pool": lambda: [layers.MaxPooling1D(2), layers.ZeroPadding1D(1)],
    "up": lambda: [layers.UpSampling1D(2), layers.Cropping1D(1)],
}


@pytest.mark.parametrize("name", ONE_D)
def test_sequences_of_unknown_length(name):
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Conv1D(6, 3, activation="softplus"),
            *ONE_D[name](),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )
    sparse(model, seed=3)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def test_volumes():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 4, 2)),
            layers.Conv3D(5, 2, activation="relu"),
            layers.Conv3DTranspose(4, 2),
            layers.MaxPooling3D(2),
            layers.GlobalAveragePooling3D(),
            layers.Dense(2),
        ]
    )
    sparse(model, seed=4)
    assert compacted(model).count_params() < model.count_params()


def grouped():
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            layers.Conv2D(8, 1, name="before"),
            layers.Conv2D(12, 2, groups=4, activation="relu", name="groups"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="head"),
        ]
    )
    return model


def test_groups_stay_equally_large():
    model = grouped()
    head = model.get_layer("head")
    kernel = head.kernel.numpy()
    kernel[[0, 3, 4]] = 0  # one of three filters in group 0, two in group 1
    assign(head, kernel)
    made = compacted(model)
    layer = made.get_layer("groups")
    assert (layer.groups, layer.filters) == (4, 12)  # groups 2 and 3 have three each


def test_a_group_goes_when_nobody_reads_it():
    model = grouped()
    head = model.get_layer("head")
    kernel = head.kernel.numpy()
    kernel[3:6] = 0
    kernel[[0, 6, 9]] = 0
    assign(head, kernel)
    made = compacted(model)
    layer = made.get_layer("groups")
    assert (layer.groups, layer.filters) == (3, 6)
    assert made.get_layer("before").filters == 6
    expected = model.get_layer("groups").kernel.numpy()[..., [1, 2, 7, 8, 10, 11]]
    np.testing.assert_array_equal(layer.kernel, expected)


@pytest.mark.parametrize("seed", range(3))
def test_random_groups(seed):
    compacted(sparse(grouped(), seed=seed))


def test_a_generator_of_maps():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3 * 3 * 5, "relu", name="dense"),
            layers.Reshape((3, 3, 5), name="reshape"),
            layers.Conv2DTranspose(2, 2, name="head"),
        ]
    )
    head = model.get_layer("head")
    kernel = head.kernel.numpy()
    kernel[..., 2] = 0
    assign(head, kernel)
    made = compacted(model)
    assert made.get_layer("dense").units == 36
    assert made.get_layer("reshape").target_shape == (3, 3, 4)


def test_a_reshape_that_mixes_is_a_wall():
    model = convnet(layers.Reshape((5, 4, 4)))
    sparse(model)
    compacted(model)
    (wall,) = plan(model).walls
    assert (wall.kind, wall.reason) == ("Reshape", "it mixes channels with positions")


def test_channels_first():
    model = keras.Sequential(
        [
            keras.Input((2, 6, 6)),
            layers.Conv2D(5, 3, data_format="channels_first", activation="relu"),
            layers.BatchNormalization(axis=1),
            layers.Conv2D(4, 2, data_format="channels_first", name="second"),
            layers.Flatten(data_format="channels_first"),
            layers.Dense(2),
        ]
    )
    sparse(model, seed=1)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def test_a_scale_for_each_channel_is_a_wall():
    model = sparse(convnet(layers.Rescaling([1.0, 2, 3, 4, 5], name="wall")))
    (wall,) = plan(model).walls
    assert (wall.layer, wall.kind) == ("wall", "Rescaling")
    compacted(model)


@pytest.mark.parametrize("kind", ["LayerNormalization", "GroupNormalization"])
def test_statistics_over_channels_are_walls(kind):
    extra = {"groups": 1} if kind == "GroupNormalization" else {}
    model = sparse(convnet(getattr(layers, kind)(**extra)))
    assert compacted(model).get_layer("first").filters == 5
    (wall,) = plan(model).walls
    assert "zeros take part" in wall.reason
