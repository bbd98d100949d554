"""Networks of keras.applications, with half of their units dead or removed."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.graph.weights import weights_by_key


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
