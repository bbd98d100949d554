"""Networks of keras.applications, with half of their units dead or removed."""

import inspect

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.exporting import converter, litert
from keras_invprune.graph.weights import weights_by_key

# The smallest network of each family, with the least pixels that it takes.
SMALLEST = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
IN_EACH_RUN = ("MobileNet",)


def dead_units(model, share=0.5, seed=0):
    """Zero units, and let batch normalization make constants of them."""
    random = np.random.default_rng(seed)
    for layer in model.layers[:-1]:
        if isinstance(layer, keras.layers.Conv2D):
            stays = random.random(layer.filters) >= share
            layer.kernel.assign(layer.kernel.numpy() * stays)
        elif isinstance(layer, keras.layers.BatchNormalization):
            below = random.normal(-1, 0.5, layer.beta.shape)  # ReLU makes zeros of most
            layer.beta.assign(below)
            layer.moving_variance.assign(random.uniform(0.5, 1.5, layer.beta.shape))


@pytest.mark.slow
def test_a_mobile_net_shrinks():
    model = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=5, classifier_activation=None
    )
    dead_units(model)
    planned = kip.compaction.plan(model)
    assert planned.walls == ()
    assert planned.parameters[1] < 0.6 * planned.parameters[0]
    assert planned.macs[1] < 0.6 * planned.macs[0]
    made = kip.compact(model)
    assert made.count_params() == planned.parameters[1]
    assert [layer.name for layer in made.layers] == [x.name for x in model.layers]
    assert kip.compaction.plan(made).changes == ()
    x = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        made.predict(x, verbose=0), expected, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "ResNet50V2"])
def test_half_of_all_groups_go_without_a_trace(name):
    make = getattr(keras.applications, name)
    options = {"weights": None, "classes": 5, "classifier_activation": None}
    model = make(input_shape=(32, 32, 3), **options)
    weights = weights_by_key(model).items()
    shapes = {key: tuple(weight.variable.shape) for key, weight in weights}
    choices = {"schedule": "manual", "allocation": "uniform", "copy": False}
    pruned = kip.prune(model, 0.5, pattern="units", **choices)
    groups = pruned.plan.dependencies
    assert groups.reasons.keys() <= {"logits/kernel"}  # a head that is a convolution
    pruned.prune_to(0.5)
    masks = {key: mask.numpy() for key, mask in pruned.masks.items()}
    kept = {key: values.any(0) for key, values in groups.gather(masks).items()}
    assert {each.mean() for each in kept.values()} == {0.5}
    planned = kip.compaction.plan(kip.strip_pruning(pruned))
    left = groups.shapes(kept, shapes).values()
    assert planned.parameters[1] == sum(int(np.prod(shape)) for shape in left)
    assert planned.macs[1] < 0.3 * planned.macs[0]


def test_no_family_is_left_out():
    families = {
        make.__module__
        for make in vars(keras.applications).values()
        if inspect.isfunction(make)
    }
    tried = {getattr(keras.applications, name).__module__ for name in SMALLEST}
    (left,) = families - tried
    assert left.endswith("vgg19")  # of the same family as VGG16


@pytest.mark.timeout(900)  # the largest takes five minutes on a busy core
@pytest.mark.parametrize("removed", ["connections", "units"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.slow if name in IN_EACH_RUN else pytest.mark.heavy
        )
        for name in SMALLEST
    ],
)
def test_each_family_goes_all_the_way_to_a_file(name, removed, tmp_path):
    keras.utils.set_random_seed(0)
    size, make = SMALLEST[name], getattr(keras.applications, name)
    options = {"weights": None, "classes": 5, "classifier_activation": None}
    model = make(input_shape=(size, size, 3), **options)
    share, pattern = (0.5, "units") if removed == "units" else (0.9, None)
    choices = {"schedule": "manual", "allocation": "uniform", "copy": False}
    pruned = kip.prune(model, share, pattern=pattern, **choices)
    pruned.prune_to(share)
    stripped = kip.strip_pruning(pruned)
    x = np.random.default_rng(0).uniform(0, 255, (4, size, size, 3)).astype("float32")
    expected = np.asarray(stripped(x, training=False))
    largest = np.abs(expected).max()
    assert largest > 0
    small = kip.compact(stripped, data=x)
    assert kip.compaction.plan(small).changes == ()
    if removed == "units":
        assert small.count_params() < 0.75 * stripped.count_params()
    found = np.asarray(small(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)
    options = {"formats": ("tflite",), "batch_size": 1}
    files = kip.export(small, tmp_path / "files", data=x, **options).files
    assert files["model.tflite"]["max_abs_error"] <= 1e-3 * largest
    content = (tmp_path / "files" / "model.tflite").read_bytes()
    (feature,) = converter.inputs(converter.signature(small), x)
    (logits,) = litert.runtime(content, delegate=False)({feature: x[:1]}).values()
    np.testing.assert_allclose(logits, expected[:1], rtol=0, atol=1e-3 * largest)
