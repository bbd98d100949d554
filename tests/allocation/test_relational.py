import json

import keras
import networkx as nx
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.allocation import Relational
from keras_invprune.masks.selection import keep_count

GRAPH = kip.priors.make("relational", n=6, k=3, p=0.5, seed=1)
SHAPES = {"dense/kernel": (13, 7), "conv/kernel": (3, 3, 8, 12)}


def scores(seed=0):
    random = np.random.default_rng(seed)
    return {key: random.normal(size=shape) for key, shape in SHAPES.items()}


def expected(graph, shape):
    """One weight after the other: kept if the nodes of both channels are neighbors."""
    n = len(graph)

    def node(channel, channels):
        larger, size = channels % n, channels // n  # the first nodes have one more
        first = larger * (size + 1)
        if channel < first:
            return channel // (size + 1)
        return larger + (channel - first) // size

    mask = np.zeros(shape, bool)
    for place in np.ndindex(shape):
        u, v = (node(place[axis], shape[axis]) for axis in (-2, -1))
        mask[place] = u == v or graph.has_edge(u, v)
    return mask


def share(graph):
    masks = [expected(graph, shape) for shape in SHAPES.values()]
    return 1 - sum(m.sum() for m in masks) / sum(m.size for m in masks)


def test_at_its_own_sparsity_the_masks_are_the_graph_whatever_the_scores():
    for seed in range(3):
        masks = Relational(GRAPH)(scores(seed), share(GRAPH))
        for key, mask in masks.items():
            np.testing.assert_array_equal(mask, expected(GRAPH, SHAPES[key]))


@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.6, 0.9])
def test_otherwise_the_best_scores_are_inside_or_outside_of_it(sparsity):
    found, relational = scores(), Relational(GRAPH)
    masks = relational(found, sparsity)
    size = sum(values.size for values in found.values())
    assert sum(m.sum() for m in masks.values()) == keep_count(size, sparsity, float)
    inside = np.concatenate([relational.mask(s).ravel() for s in SHAPES.values()])
    kept = np.concatenate([masks[key].ravel() for key in SHAPES])
    values = np.concatenate([found[key].ravel() for key in SHAPES])
    fewer = sparsity > share(GRAPH)
    assert not kept[~inside].any() if fewer else kept[inside].all()
    part = inside if fewer else ~inside
    assert values[part & kept].min(initial=9) >= values[part & ~kept].max(initial=-9)


def test_directed_graphs_and_bipartite_cuts():
    directed = Relational(nx.DiGraph([(0, 1)]))
    np.testing.assert_array_equal(directed.graph, [[1, 1], [0, 1]])
    cut = Relational(((1, 0, 1), (0, 1, 0)))  # two nodes of inputs, three of outputs
    np.testing.assert_array_equal(cut.mask((2, 3)), cut.graph)
    assert cut.mask((4, 6)).sum() == 3 * 2 * 2


def test_parallel_edges_are_one():
    graph = nx.MultiGraph([(0, 1), (0, 1), (1, 2)])
    expected = Relational(nx.path_graph(3)).graph
    np.testing.assert_array_equal(Relational(graph).graph, expected)


@pytest.mark.parametrize(
    "graph", [nx.path_graph(10**5), np.broadcast_to(True, (1, 10**5))]
)
def test_a_graph_of_more_nodes_than_any_kernel_has_channels(graph):
    with pytest.raises(ValueError, match="4,096 nodes.*Received: 100,000 nodes"):
        Relational(graph)


def test_channels_fewer_than_nodes_belong_to_the_first():
    mask = Relational(GRAPH).mask((2, 3))
    np.testing.assert_array_equal(mask, Relational(GRAPH).graph[:2, :3])


def test_prune_makes_the_masks_and_saves_their_graph(tmp_path):
    layers = [keras.layers.Dense(units, "relu") for units in (12, 8)]
    model = keras.Sequential([keras.Input((7,)), *layers, keras.layers.Dense(2)])
    relational = Relational(GRAPH)
    sparsity = relational.sparsity(model)
    pruned = kip.prune(model, sparsity, allocation=relational, schedule="at_init")
    pruned.compile("sgd", "mse", run_eagerly=True)
    pruned.fit(np.ones((4, 7)), np.ones((4, 2)), verbose=0)
    assert len(pruned.masks) == 2
    for mask in pruned.masks.values():
        np.testing.assert_array_equal(mask, expected(GRAPH, tuple(mask.shape)))
    pruned.save(tmp_path / "pruned.keras")
    again = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_array_equal(again.plan.allocation.graph, relational.graph)


def test_it_comes_back_from_json():
    saved = json.dumps(keras.saving.serialize_keras_object(Relational(GRAPH)))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    np.testing.assert_array_equal(again.graph, Relational(GRAPH).graph)


def test_patterns_that_ignore_it_are_refused():
    model = keras.Sequential([keras.Input((8,)), *map(keras.layers.Dense, (8, 2))])
    with pytest.raises(ValueError, match="nothing to allocate"):
        kip.prune(model, 0.5, allocation="relational", pattern=kip.patterns.NByM(2, 4))


@pytest.mark.parametrize("graph", [[1, 0, 1], [[0, 0], [0, 0]], nx.Graph()])
def test_what_is_no_graph_is_refused(graph):
    with pytest.raises(ValueError, match="matrix with an entry that is not zero"):
        Relational(graph)


@pytest.mark.parametrize(
    "graph, received",
    [
        (list(GRAPH.edges), r"shape \(9, 2\) with \[2\]"),
        (np.array(GRAPH.edges), r"shape \(9, 2\) with \[2\]"),
        ([("a", "b"), ("b", "c")], r"shape \(2, 2\) with \['a'\]"),
        (list(GRAPH.edges(data=True)), r"shape \(9, 3\) with \[{}\]"),
        ([[0.0, 0.3], [0.3, 0.0]], r"with \[0.3\] in it.*matrix != 0"),
        ([[1, 0], [1]], "rows of several lengths"),
    ],
)
def test_lists_of_edges_are_not_read_as_matrices(graph, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        Relational(graph)


@pytest.mark.parametrize("kind", [bool, int, float, "uint8"])
def test_matrices_of_every_type_are_read(kind):
    matrix = nx.to_numpy_array(GRAPH).astype(kind)
    np.testing.assert_array_equal(Relational(matrix).graph, matrix != 0)
    np.testing.assert_array_equal(Relational(matrix.tolist()).graph, matrix != 0)


@pytest.mark.parametrize("graph", ["ring", GRAPH.edges])
def test_what_is_neither_a_graph_nor_an_array_is_refused(graph):
    with pytest.raises(
        TypeError, match="networkx.Graph or an array. Received: (str|E)"
    ):
        Relational(graph)


def as_model(layer, *shape):
    return keras.Sequential([keras.Input(shape), layer])


CONV = {"kernel_size": 2, "padding": "same"}
UNLIKE = {
    "einsum": as_model(keras.layers.EinsumDense("bi,iho->bho", (6, 6)), 6),
    "gates": as_model(keras.layers.GRU(6), 4, 6),
    "groups": as_model(keras.layers.Conv2D(12, groups=2, **CONV), 4, 4, 12),
    "depthwise": as_model(keras.layers.DepthwiseConv2D(2, depth_multiplier=6), 4, 4, 6),
    "transposed": as_model(keras.layers.Conv2DTranspose(6, **CONV), 4, 4, 12),
}
LIKE = {
    "conv": as_model(keras.layers.Conv2D(6, **CONV), 4, 4, 12),
    "simple": as_model(keras.layers.SimpleRNN(6), 4, 6),
    "separable": as_model(keras.layers.SeparableConv2D(12, 2), 4, 4, 6),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_kernels_that_do_not_end_in_inputs_and_outputs_are_refused(name):
    directed = Relational(nx.DiGraph(GRAPH.edges))
    with pytest.raises(ValueError, match="last two axes.*Received: .*kernel"):
        kip.prune(UNLIKE[name], 0.5, allocation=directed, select=lambda *_: True)
    with pytest.raises(ValueError, match="last two axes.*Received: .*kernel"):
        directed.sparsity(UNLIKE[name], lambda *_: True)


@pytest.mark.parametrize("name", LIKE)
def test_others_are_taken(name):
    sparsity = Relational(GRAPH).sparsity(LIKE[name], lambda *_: True)
    chosen = {"allocation": Relational(GRAPH), "select": lambda *_: True}
    kip.prune(LIKE[name], sparsity, schedule="manual", **chosen).prune_to(sparsity)


def test_transposed_convolutions_read_a_graph_without_directions_both_ways():
    model, relational = UNLIKE["transposed"], Relational(GRAPH)
    shape = tuple(model.layers[0].kernel.shape)  # [2, 2, outputs, inputs]
    sparsity = relational.sparsity(model, lambda *_: True)
    assert sparsity == 1 - expected(GRAPH, shape).mean()
