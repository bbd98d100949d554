import ast
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from graphs import GRAPH, assert_same, connected_graphs, reads_of
from keras_invprune import priors
from keras_invprune.priors import layered, oriented
from keras_invprune.priors import layers as module


def test_edges_lead_from_low_to_high():
    expected = nx.DiGraph()
    expected.add_nodes_from(range(6))
    expected.add_edges_from((min(e), max(e)) for e in GRAPH.edges)
    assert_same(oriented(GRAPH), expected)


def test_a_directed_graph_keeps_its_directions():
    graph = nx.DiGraph([(2, 1), (1, 0)])
    assert_same(oriented(graph), graph)
    assert [nodes.tolist() for nodes in layered(graph).nodes] == [[2], [1], [0]]


@settings(max_examples=60)
@given(connected_graphs())
def test_a_node_is_one_layer_behind_the_last_it_reads(graph):
    found = layered(graph)
    layer = {int(v): number for number, part in enumerate(found.nodes) for v in part}
    reads = reads_of(graph)
    assert layer.keys() == reads.keys()
    for node, read in reads.items():
        assert layer[node] == max((layer[u] + 1 for u in read), default=0)
    edges = {
        (int(found.nodes[s][i]), int(found.nodes[t][j]))
        for (s, t), mask in found.masks.items()
        for i, j in zip(*np.nonzero(mask), strict=True)
    }
    assert edges == {(u, v) for v, read in reads.items() for u in read}
    assert all(s < t for s, t in found.masks)
    for t in range(1, len(found.nodes)):  # what makes it a layer: it reads the last
        assert t - 1 in found.sources(t)


def test_other_names_are_numbered_in_their_order():
    graph = nx.Graph([("b", "c"), ("a", "c")])
    assert sorted(oriented(graph).edges) == [(0, 2), (1, 2)]
    mixed = nx.Graph([("b", 7), (7, (1, 2))])  # no order: as inserted
    assert sorted(oriented(mixed).edges) == [(0, 1), (1, 2)]
    large = nx.Graph([(2**70, -1), (2**70, 5)])  # which no array of integers holds
    assert sorted(oriented(large).edges) == [(0, 2), (1, 2)]


LOOP = nx.Graph([(0, 1), (1, 1)])
NO_EDGES = nx.empty_graph(3)
PARTS = nx.Graph([(0, 1), (2, 3), (4, 5), (5, 6)])
CYCLE = nx.DiGraph([(0, 1), (1, 2), (2, 0), (3, 0)])
PATH = nx.path_graph(1001)


@pytest.mark.parametrize(
    "graph, message",
    [
        (LOOP, "must not read itself.*nodes 1.*selfloop_edges"),
        (NO_EDGES, "needs edges.*3 nodes and no edges"),
        (nx.Graph(), "needs edges.*0 nodes"),
        (PARTS, "must be connected.*3 parts, one of them with the nodes 0, 1"),
        (PARTS, r"max\(nx.connected_components\("),
        (nx.DiGraph(PARTS.edges), r"max\(nx.weakly_connected_components\("),
        (nx.DiGraph([(0, 1), (2, 3)]), "must be connected.*2 parts"),
        (CYCLE, r"must not have cycles.*\[0, 1, 2\].*to_undirected"),
        (PATH, "1000 layers.*1001 nodes.*1001 layers"),
    ],
)
def test_graphs_that_make_no_network(graph, message):
    with pytest.raises(ValueError, match=message):
        priors.feed_forward(graph, 2, 2)


def test_the_advice_works():
    loopless = LOOP.copy()
    loopless.remove_edges_from(list(nx.selfloop_edges(loopless)))
    largest = PARTS.subgraph(max(nx.connected_components(PARTS), key=len))
    directed = nx.DiGraph(PARTS.edges)
    part = directed.subgraph(max(nx.weakly_connected_components(directed), key=len))
    for graph in (loopless, largest, part, CYCLE.to_undirected()):
        assert layered(graph).nodes


@pytest.mark.parametrize("graph", [[[0, 1]], None, nx.MultiGraph([(0, 1), (0, 1)])])
def test_what_is_no_graph_is_refused(graph):
    with pytest.raises(TypeError, match="networkx.Graph or DiGraph.*Received: "):
        oriented(graph)


def test_a_hundred_thousand_nodes_work_or_say_the_limit():
    star = layered(nx.star_graph(10**5 - 1))
    assert [len(nodes) for nodes in star.nodes] == [1, 10**5 - 1]
    with pytest.raises(ValueError, match="268,435,456 weights.*100,000 nodes.* GiB"):
        layered(priors.make("tree", n=10**5, r=2))


def test_the_limit_counts_what_is_stored(monkeypatch):
    count = 2 * 2 + 2 * 1 + 2 * 1 + 2 * 1 + 1 * 1  # of GRAPH: pairs of layers
    states = 4 + 1 + 1 + 1 + 1  # of one recurrent layer for each pair
    for cell, gates in (("simple", 1), ("gru", 3)):
        more = gates * (count + states)
        monkeypatch.setattr(module, "MAX_WEIGHTS", more)
        priors.recurrent(GRAPH, 2, 2, cell=cell)
        monkeypatch.setattr(module, "MAX_WEIGHTS", more - 1)
        with pytest.raises(ValueError, match=f"needs {more},"):
            priors.recurrent(GRAPH, 2, 2, cell=cell)


def test_networkx_and_matplotlib_are_imported_when_they_are_used():
    optional = {"networkx", "matplotlib"}
    for file in Path(priors.__file__).parent.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:  # not inside of functions
            if isinstance(node, ast.Import):
                assert not optional & {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] not in optional
