"""Convolutional networks from graphs."""

import math

import keras
import networkx as nx
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.weights import kernels, weights_by_key
from keras_invprune.priors import WeightedSum, convolutional

# Two nodes read the stem, one node adds up two, and two are not read.
GRAPH = nx.DiGraph([(0, 2), (1, 2), (2, 3), (0, 4)])
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype("float32")


@pytest.fixture(scope="module")
def model():
    return convolutional(GRAPH, (8, 8, 2), 4, channels=3, seed=1)


def outputs(model):
    return np.asarray(model(IMAGES, training=False))


def layer_inputs(model, name):
    """The names of the layers that a layer reads."""
    tensors = keras.tree.flatten(model.get_layer(name).input)
    return [tensor._keras_history.operation.name for tensor in tensors]


def test_each_node_reads_what_the_graph_says(model):
    node = "stage_1_node_{}_normalized".format
    assert layer_inputs(model, "stage_1_node_2_sum") == [node(0), node(1)]
    assert layer_inputs(model, "stage_1_node_3_active") == [node(2)]
    assert layer_inputs(model, "stage_1_node_0_active") == ["stem_normalized"]
    assert layer_inputs(model, "stage_1_mean") == [node(3), node(4)]
    assert model.output_shape == (None, 4)


def test_the_sum_is_weighted_by_positive_numbers():
    layer = WeightedSum()
    parts = [IMAGES, 2 * IMAGES + 1]
    layer.build([IMAGES.shape] * 2)
    layer.set_weights([np.array([-30.0, math.log(3)], "float32")])  # σ: 0 and 3/4
    np.testing.assert_allclose(layer(parts), 0.75 * parts[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shapes", [[(None, 3)], [(None, 3), (None, 4)]])
def test_a_sum_of_other_tensors_is_refused(shapes):
    with pytest.raises(ValueError, match="several tensors of one shape"):
        WeightedSum().build(shapes)


def test_one_tensor_that_is_not_in_a_list_is_refused():
    with pytest.raises(ValueError, match=r"of shapes \[\(3, 8, 8, 2\)\]"):
        WeightedSum()(IMAGES)


def test_macs_are_those_of_the_convolutions(model):
    uses = kernel_uses(model, IMAGES[:1])
    found = sum(
        math.prod(variable.shape) * uses[key]
        for key, (_, variable) in kernels(weights_by_key(model)).items()
    )
    pixels = 4 * 4  # the stem has stride 2
    assert found == pixels * (9 * 2 * 3) + 5 * pixels * (9 * 3 + 3 * 3) + 3 * 4


def test_stages_shrink_and_widen():
    model = convolutional(
        nx.path_graph(2), (16, 16, 1), 2, channels=2, stages=3, shrink=4
    )
    shapes = [model.get_layer(f"stage_{s}_node_1").output.shape[1:] for s in (1, 2, 3)]
    assert shapes == [(4, 4, 2), (2, 2, 4), (1, 1, 8)]


def test_the_file_returns_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again), outputs(model))


def test_the_seed_decides_the_weights(model):
    options = {"input_shape": (8, 8, 2), "outputs": 4, "channels": 3}
    same = convolutional(GRAPH, **options, seed=1)
    np.testing.assert_array_equal(outputs(same), outputs(model))
    assert np.abs(outputs(convolutional(GRAPH, **options)) - outputs(model)).max() > 0


def test_sizes_may_be_numbers_of_numpy(model):
    one, two, three, four, eight = map(np.int64, (1, 2, 3, 4, 8))
    sizes = {"channels": three, "stages": one, "shrink": two}
    same = convolutional(GRAPH, (eight, eight, two), four, **sizes, seed=1)
    assert same.to_json() == model.to_json()
    assert convolutional(GRAPH, (8, 8, 2), 4, shrink=four).output_shape[1] == 4


def test_dead_channels_are_removed_across_sums():
    model = convolutional(GRAPH, (8, 8, 2), 4, channels=3, convolution="full")
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            values = [random.uniform(0.5, 1.5, 3).astype("float32") for _ in range(4)]
            for value in values[:2]:
                value[1] = 0  # scale and shift of one channel, in all nodes
            layer.set_weights(values)
    smaller = kip.compact(model)
    assert smaller.get_layer("stage_1_node_2").filters == 2
    assert isinstance(smaller.get_layer("stage_1_node_2_sum"), WeightedSum)
    np.testing.assert_allclose(outputs(smaller), outputs(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change, fact",
    [
        ({"graph": nx.empty_graph(3)}, "needs edges"),
        ({"graph": nx.DiGraph([(0, 1), (1, 0)])}, "cycle"),
        ({"graph": nx.path_graph(600), "stages": 2}, "1,200 nodes"),
        ({"input_shape": (8, 8)}, "height, width, channels"),
        ({"input_shape": (0, 8, 2)}, r"Received: input_shape=\(0, 8, 2\)"),
        ({"input_shape": (8, 8, None)}, "height and width may be None"),
        ({"shrink": 3}, "power of two"),
        ({"channels": 0}, "`channels`"),
        ({"convolution": "dilated"}, "'separable' or 'full'"),
    ],
)
def test_bad_arguments_are_refused(change, fact):
    arguments = {"graph": GRAPH, "input_shape": (8, 8, 2), "outputs": 4} | change
    with pytest.raises(ValueError, match=fact):
        convolutional(**arguments)
