import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_invprune as kip
from graphs import GRAPH, assert_same, connected_graphs, every_example
from keras_invprune import priors
from keras_invprune.priors import feed_forward, graph_of, oriented, recurrent


@settings(max_examples=15)
@given(connected_graphs(), st.sampled_from(["before", "after"]))
def test_feed_forward_networks_give_their_graph_back(graph, skip):
    assert_same(graph_of(feed_forward(graph, 2, 2, skip=skip)), oriented(graph))


@settings(max_examples=8)
@given(
    connected_graphs(),
    st.sampled_from(["before", "after"]),
    st.sampled_from(["simple", "gru", "lstm"]),
)
def test_recurrent_networks_give_their_graph_back(graph, skip, cell):
    model = recurrent(graph, 2, 2, skip=skip, cell=cell)
    assert_same(graph_of(model), oriented(graph))


@pytest.mark.parametrize("name", priors.PRIORS)
def test_every_prior_is_given_back(name):
    graph = every_example()[name]
    assert_same(graph_of(feed_forward(graph, 2, 2)), oriented(graph))


def test_it_reads_weights_and_not_what_was_asked_for():
    model = feed_forward(GRAPH, 3, 2)
    kernel = model.get_layer("layer_1").kernel
    kernel.assign(np.where([[True, False], [True, True]], 0, kernel))
    assert set(oriented(GRAPH).edges) - set(graph_of(model).edges) == {(0, 2), (1, 2)}
    assert 2 in graph_of(model)  # it still has a unit


def test_it_reads_through_masks_that_are_not_applied_yet():
    pruned = kip.prune(feed_forward(GRAPH, 3, 2), 0.5, schedule="manual")
    masks = {key: mask.numpy() for key, mask in pruned.masks.items()}
    masks["layer_1/kernel"][:] = [[0, 1], [0, 0]]  # only 0 -> 5 stays
    pruned.masked.set_masks({key: mask != 0 for key, mask in masks.items()})
    gone = set(oriented(GRAPH).edges) - set(graph_of(pruned).edges)
    assert gone == {(0, 2), (1, 2)}


def test_it_reads_a_part_of_a_larger_model():
    inner = feed_forward(GRAPH, 3, 2)
    entry = keras.Input((4,))
    outer = keras.Model(entry, inner(keras.layers.Dense(3)(entry)))
    assert_same(graph_of(outer), oriented(GRAPH))


def test_other_models_have_no_graph():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no such kernel.*feed_forward"):
        graph_of(model)


@pytest.mark.parametrize("thing", [GRAPH, None, [(0, 1)], keras.layers.Dense(2)])
def test_only_models_are_read(thing):
    kind = type(thing).__name__
    with pytest.raises(TypeError, match=f"Keras model. Received: {kind}"):
        graph_of(thing)


def test_networks_of_few_bits_give_their_graph_back():
    graph = priors.make("erdos-renyi", n=60, p=0.5)
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = feed_forward(graph, 2, 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(graph_of(model), oriented(graph))
