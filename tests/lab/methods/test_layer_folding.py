"""Layer folding as a method: one slope for each activation, which becomes 1."""

import keras
import numpy as np
import pytest

from keras_invprune.graph.weights import walk
from keras_invprune_lab.data import Data
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.recipes.recipe import load
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand

GENERATOR = np.random.default_rng(0)
COUNTS = {"layer-vgg16-cifar10": 15, "layer-resnet18-cifar10": 17}


def images(*_):
    x = GENERATOR.random((40, 32, 32, 3), dtype="float32")
    y = np.arange(40) % 10
    return Data(x[:20], y[:20], x[20:30], y[20:30], (), x[30:], y[30:])


def job_of(name, strength=0.01):
    small = {"search_epochs": 1, "finetune_epochs": 1, "batch_size": 10, "width": 4}
    small |= {"seeds": [0], "slope_strength": [strength]}
    recipe = load(name).model_copy(update=small)
    return next(job for job in expand(recipe) if job.method == "folding")


class Its:
    """What `LayerFolding.network` reads of a `Work`."""

    def __init__(self, name):
        self.job, self.data = job_of(name), images()


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_each_activation_of_the_published_count_starts_as_a_relu(name, count):
    model = METHODS["folding"].network(Its(name))
    slopes = [x for _, x in walk(model) if isinstance(x, keras.layers.PReLU)]
    assert len(slopes) == count == METHODS["folding"].active(model)
    assert not any(isinstance(x, keras.layers.ReLU) for _, x in walk(model))
    assert all(x.alpha.shape.num_elements() == 1 for x in slopes)
    assert not any(np.any(x.alpha) for x in slopes)
    assert all(
        f"{count} removed" in n for n in list(load(name).published["tfds:cifar10"])[1:]
    )


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        pytest.param("layer-vgg16-cifar10", [16, 14], marks=pytest.mark.slow),
        pytest.param("layer-resnet18-cifar10", [21, 21], marks=pytest.mark.heavy),
    ],
)
def test_activations_go_and_padded_convolutions_stay(
    tmp_path, monkeypatch, name, depth
):
    monkeypatch.setattr(runs.datasets, "load", images)
    job = job_of(name, 1000.0)
    report = execute(job, tmp_path)
    assert report["merged"]["active"] == 0
    assert report["merged"]["depth"] == depth


def test_a_network_without_layers_of_relu_is_refused():
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "relu")])
    with pytest.raises(ValueError, match="layers of its own for ReLU"):
        METHODS["folding"].penalty(plain, 0.1)
