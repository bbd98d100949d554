"""Which network suits which data, and what each is made of."""

import keras
import numpy as np
import pytest

from keras_invprune.objectives.embedding import embedder
from keras_invprune_lab.data import Data
from keras_invprune_lab.models import (
    MODELS,
    RECURRENT,
    embedding_layer,
    get_model,
    standardized,
)

GENERATOR = np.random.default_rng(0)
# Widths that are quickly made, of those that have one.
NARROW = {"cnn": 2, "mlp-tab": 16, "mlp-vis": 1, "resnet-18": 4}
NARROW |= {"resnet-18-small": 4, "vgg-16": 4, **dict.fromkeys(RECURRENT, 3)}


def data(*shape, classes=3):
    x, y = np.zeros((classes, *shape), "float32"), np.arange(classes)
    return Data(x, y, x, y)


def letters(classes=3):
    x = GENERATOR.integers(65, 91, (classes, 7), "int32")
    return Data(x, np.arange(classes), x, np.arange(classes))


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((4,), "row_mlp"),
        ((857,), "row_mlp"),
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
        ("mlp-100", [100, 3]),
        ("lenet-300-100", [300, 100, 3]),
        ("mlp-rows", [128, 128, 128, 3]),
    ],
)
def test_widths(name, units):
    dense = [
        layer
        for layer in get_model(name, data(8, 8, 1)).layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert [layer.units for layer in dense] == units


def test_the_network_of_the_pruning_variants_is_drawn_as_by_pytorch():
    model = get_model("mlp-100", data(28, 28, 1))
    for layer, fan_in in zip(model.layers[-2:], (784, 100), strict=True):
        for weight in layer.get_weights():
            assert 0 < np.abs(weight).max() <= fan_in**-0.5
    kernel = model.layers[-2].get_weights()[0]
    assert kernel.std() == pytest.approx((3 * 784) ** -0.5, rel=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_weights_have_names_of_their_own_and_outputs_are_logits(name):
    images = data(16, 16, 1)  # lenet-5 has no use for fewer pixels
    rows = letters() if name in RECURRENT else images
    model = get_model(name, rows, NARROW.get(name))
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].activation is keras.activations.linear
    assert model(rows.x_train).shape == (3, 3)


# Sizes: counted here from the widths that the papers give.


def trained(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def vis_mlp(width, classes=10):
    """3072, 8192, 4096, 4096, ... at width 8: kernels, and BatchNorm's pairs."""
    units = [width * n for n in (1024, 512, 512, 256, 256, 128, 128, 64, 64)]
    kernels = sum(a * b for a, b in zip([3072, *units], units, strict=False))
    return kernels + 2 * sum(units) + units[-1] * classes + classes


def vis_cnn(width, classes=10):
    filters = [width * n for n in (1, 2, 2, 4, 4, 8, 8, 16)]
    kernels = sum(9 * a * b for a, b in zip([3, *filters], filters, strict=False))
    flat = 2 * 2 * filters[-1]
    head = flat * 64 * width + 2 * 64 * width + 64 * width * classes + classes
    return kernels + 2 * sum(filters) + head


def tab_mlp(width, features=14, classes=10):
    hidden = features * width + 8 * width**2 + 2 * 9 * width
    return hidden + width * classes + classes


def residual(width, classes=10):
    count, before = 7 * 7 * 3 * width + 2 * width, width
    for filters in (width, 2 * width, 4 * width, 8 * width):
        count += 9 * before * filters + 3 * 9 * filters**2 + 4 * 2 * filters
        if filters != before:
            count += before * filters + 2 * filters
        before = filters
    return count + before * classes + classes


def vgg(width, classes=10):
    """13 convolutions of 3x3 without a bias, BatchNorm's pairs, three dense layers."""
    filters = [width * n for n in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8)]
    kernels = sum(9 * a * b for a, b in zip([3, *filters], filters, strict=False))
    units = filters[-1]
    dense = 2 * units * (units + 1) + (units + 1) * classes
    return kernels + 2 * sum(filters) + dense


def test_sizes_at_the_papers_widths():
    assert vis_mlp(8) == pytest.approx(92.1e6, rel=1e-3)
    assert vis_mlp(1) == pytest.approx(4.2e6, rel=1e-3)
    # torchvision's resnet18: 11 689 512 with 1000 classes.
    assert residual(64, classes=1000) == 11_689_512
    assert residual(64) == pytest.approx(11.2e6, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "shape", "width", "count"),
    [
        ("lenet-300-100", (28, 28, 1), None, 266_610),
        ("lenet-5", (28, 28, 1), None, 431_080),  # Caffe's
        ("conv-4", (32, 32, 3), None, 2_425_930),  # 2.4 million in 1803.03635
        ("mlp-vis", (32, 32, 3), 1, vis_mlp(1)),
        ("mlp-vis", (32, 32, 3), 2, vis_mlp(2)),
        ("cnn", (32, 32, 3), None, vis_cnn(8)),
        ("cnn", (32, 32, 3), 3, vis_cnn(3)),
        ("mlp-tab", (14,), None, tab_mlp(512)),
        ("mlp-tab", (14,), 20, tab_mlp(20)),
        ("resnet-18", (32, 32, 3), None, residual(64)),
        ("resnet-18", (32, 32, 3), 6, residual(6)),
        ("resnet-18-small", (32, 32, 3), None, 11_173_962),  # as in pytorch-cifar
        ("vgg-16", (32, 32, 3), None, vgg(64)),
    ],
)
def test_numbers_of_trained_weights(name, shape, width, count):
    assert trained(get_model(name, data(*shape, classes=10), width)) == count


def test_each_layer_of_mlp_vis_has_the_outputs_of_the_convolution_it_replaces():
    images = data(32, 32, 3)
    dense, convolutional = (get_model(n, images, 2) for n in ("mlp-vis", "cnn"))
    for index in range(1, 9):
        layer = convolutional.get_layer(f"encoder_{index}")
        assert isinstance(layer, keras.layers.Conv2D)
        outputs = int(np.prod(layer.output.shape[1:]))
        assert dense.get_layer(f"encoder_{index}").units == outputs
    assert (outputs, convolutional.get_layer("head").units) == (128, 128)


def test_resnet_halves_the_image_five_times():
    model = get_model("resnet-18", data(64, 96, 3), 4)
    shapes = [model.get_layer("stem_relu").output.shape[1:]]
    stages = [model.get_layer(f"stage_{n}_2_relu_2") for n in (1, 2, 3, 4)]
    shapes += [stage.output.shape[1:] for stage in stages]
    assert shapes == [(32, 48, 4), (16, 24, 4), (8, 12, 8), (4, 6, 16), (2, 3, 32)]


@pytest.mark.parametrize("name", ["cnn", "mlp-vis"])
def test_kernels_begin_as_pytorchs_do(name):
    for layer in get_model(name, data(16, 16, 3), 2).layers:
        if hasattr(layer, "kernel"):
            kernel = layer.kernel.numpy()
            bound = 1 / np.sqrt(np.prod(kernel.shape[:-1]))
            assert 0.9 * bound < np.abs(kernel).max() <= bound
            assert abs(kernel.mean()) < 0.2 * bound


# The encoder and what comes before it.


@pytest.mark.parametrize(
    ("name", "shape"), [("mlp-vis", (8, 8, 2)), ("cnn", (8, 8, 2)), ("mlp-tab", (5,))]
)
def test_the_embedding_is_what_the_head_of_two_layers_reads(name, shape):
    model = get_model(name, data(*shape), NARROW[name])
    assert embedding_layer(model) == "embedding"
    x = GENERATOR.normal(size=(4, *shape)).astype("float32")
    outputs, features = embedder(model, embedding_layer(model))(x)
    kernel, last = (model.get_layer(n).weights for n in ("head", "logits"))
    hidden = np.maximum(features @ kernel[0].numpy() / np.sqrt(1 + 1e-5), 0)
    expected = hidden @ last[0].numpy() + last[1].numpy()
    assert np.abs(outputs - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_embedding_of_a_model_inside_another_and_of_others():
    model = standardized(get_model("resnet-18", data(32, 32, 3), 4), images())
    assert embedding_layer(model) == "resnet_18/embedding"
    outputs, features = embedder(model, embedding_layer(model))(images()[:4])
    kernel, bias = model.get_layer("resnet_18").get_layer("logits").weights
    np.testing.assert_allclose(
        outputs, features @ kernel.numpy() + bias.numpy(), rtol=1e-4, atol=1e-6
    )
    assert embedding_layer(get_model("lenet-5", data(16, 16, 1))) is None


def images():
    """Three channels, each with a mean and a variance of its own; one is constant."""
    noise = np.random.default_rng(1).uniform(size=(20, 32, 32, 3))
    return (noise * [0.5, 0.1, 0] + [0.1, 0.8, 0.3]).astype("float32")


@pytest.mark.parametrize("name", ["cnn", "resnet-18"])  # Sequential; Functional
def test_standardized_gives_each_channel_mean_0_and_variance_1(name):
    x, plain = images(), get_model(name, data(32, 32, 3), NARROW[name])
    count, expected = trained(plain), plain.predict_on_batch(normal(x))
    model = standardized(plain, x)
    seen = model.get_layer("standardize")(x).numpy().reshape(-1, 3)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.var(axis=0), [1, 1, 0], atol=1e-4)
    assert model.name == f"standardized_{plain.name}"
    assert model.input_shape == plain.input_shape and trained(model) == count
    np.testing.assert_allclose(
        model.predict_on_batch(x), expected, rtol=1e-3, atol=1e-5
    )


def normal(x):
    x = x.astype("float64")
    spread = np.maximum(x.std(axis=(0, 1, 2)), 1e-7)
    return ((x - x.mean(axis=(0, 1, 2))) / spread).astype("float32")


# By name


@pytest.mark.parametrize(
    ("name", "shape", "width", "message"),
    [
        ("lenet-5", (28, 28, 1), 2, "'lenet-5' has only one size. Received: width=2"),
        (None, (4,), 2, "'mlp-rows' has only one size"),
        ("resnet-18", (4,), None, r"'resnet-18' needs images.*\(4,\)"),
        ("mlp-viz", (8, 8, 1), 1, "Did you mean 'mlp-vis'"),
    ],
)
def test_what_does_not_fit_says_so(name, shape, width, message):
    with pytest.raises(ValueError, match=message):
        get_model(name, data(*shape), width)
