import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from graphs import GRAPH, every_example
from keras_invprune import priors
from keras_invprune.priors import FEATURES, features

# Of https://github.com/innvariant/sparsity-experiments-2021: two of its graphs, and the
# features that its gru.csv has of them.
PUBLISHED = json.loads((Path(__file__).parent / "published_features.json").read_text())


def reference(graph):
    """The same by networkx's functions, one by one, with the paper's definitions."""
    directed = nx.DiGraph((min(e), max(e)) for e in graph.edges)
    depth = {}
    for v in nx.topological_sort(directed):
        depth[v] = max((depth[u] + 1 for u in directed.predecessors(v)), default=1)
    found = {
        "layers": max(depth.values()),
        "nodes": len(graph),
        "edges": graph.number_of_edges(),
        "source_nodes": sum(not list(directed.predecessors(v)) for v in directed),
        "sink_nodes": list(depth.values()).count(max(depth.values())),
        "diameter": nx.diameter(graph),
        "density": nx.density(directed),
        "average_shortest_path_length": nx.average_shortest_path_length(graph),
    }
    for name in (
        "eccentricity",
        "degree_centrality",
        "closeness_centrality",
        "betweenness_centrality",
        "edge_betweenness_centrality",
    ):
        values = np.array(list(getattr(nx, name)(graph).values()), float)
        mean = values.sum() / len(values)
        variance = ((values - mean) ** 2).sum() / max(1, len(values) - 1)
        found |= {f"{name}_mean": mean, f"{name}_var": variance}
        found[f"{name}_std"] = variance**0.5
    return found


@pytest.mark.parametrize("graph", [GRAPH, *every_example().values()])
def test_they_are_networkx_s(graph):
    found = features(graph)
    assert tuple(found) == FEATURES and len(FEATURES) == 23
    assert all(type(value) is float for value in found.values())
    assert found == pytest.approx(reference(graph))


@pytest.mark.parametrize("name", PUBLISHED)
def test_they_are_the_authors(name):
    graph = nx.Graph(PUBLISHED[name]["edges"])
    assert features(graph) == pytest.approx(PUBLISHED[name]["features"], rel=1e-12)


def test_a_network_and_its_graph_have_the_same_features():
    model = priors.feed_forward(GRAPH, 3, 2)
    assert features(priors.graph_of(model)) == pytest.approx(features(GRAPH))


def test_clustering_and_path_length_are_those_of_the_undirected_graph():
    graph = priors.make("relational", n=20, k=5, p=0.3)
    for shown in (graph, priors.oriented(graph)):
        assert priors.clustering(shown) == pytest.approx(nx.average_clustering(graph))
        expected = nx.average_shortest_path_length(graph)
        assert priors.path_length(shown) == pytest.approx(expected)


@pytest.mark.parametrize("ask", [features, priors.path_length])
def test_large_graphs_say_so(ask):
    with pytest.raises(ValueError, match=r"nodes · edges.*20,000 nodes and 19,999"):
        ask(priors.make("tree", n=20_000, r=3))


def test_triangles_are_counted_unless_nodes_have_too_many_edges():
    ring = nx.relabel_nodes(nx.cycle_graph(10**5), str)  # whatever the size
    assert priors.clustering(ring) == 0
    with pytest.raises(ValueError, match=r"degree².*4.0e\+08, and 20,000 edges"):
        priors.clustering(nx.star_graph(20_000))


@pytest.mark.parametrize("ask", [features, priors.path_length, priors.clustering])
@pytest.mark.parametrize(
    "graph, error, fact",
    [
        (nx.Graph(), ValueError, "needs edges"),
        (nx.empty_graph(3), ValueError, "needs edges"),
        (nx.Graph([(0, 1), (2, 3)]), ValueError, "must be connected"),
        (nx.Graph([(0, 1), (1, 1)]), ValueError, "must not read itself"),
        (nx.MultiGraph([(0, 1), (0, 1)]), TypeError, "at most one edge"),
        ([(0, 1), (1, 2)], TypeError, "must be a networkx.Graph.*list"),
    ],
)
def test_what_is_no_graph_of_a_network_is_refused(ask, graph, error, fact):
    with pytest.raises(error, match=fact):
        ask(graph)
