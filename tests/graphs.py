"""What the tests of graph priors share: small graphs, and how to compare them."""

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from keras_invprune import priors

# Layers {0, 1}, {2, 5}, {3}, {4}: edges across layers, and 5 leads nowhere.
EDGES = [(0, 2), (1, 2), (0, 5), (2, 3), (0, 3), (3, 4), (1, 4)]
GRAPH = nx.Graph(EDGES)
EXAMPLES = {
    "barabasi-albert": {"n": 9, "m": 2},
    "erdos-renyi": {"n": 8, "p": 0.5},
    "grid": {"rows": 2, "columns": 4},
    "relational": {"n": 8, "k": 3.5, "p": 0.5},
    "tree": {"n": 8},
    "watts-strogatz": {"n": 9, "k": 4},
}
"""For each prior, parameters of a small graph."""


def assert_same(graph, expected):
    assert nx.utils.graphs_equal(graph, expected)


def reads_of(graph):
    """{node: the nodes that it reads}, from the definition: lower ones read nothing."""
    return {v: sorted(u for u in graph.adj[v] if u < v) for v in sorted(graph)}


@st.composite
def connected_graphs(draw):
    """A spanning tree and other edges, of nodes with any numbers."""
    n = draw(st.integers(2, 9))
    nodes = draw(st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True))
    graph = nx.Graph()
    for index in range(1, n):
        graph.add_edge(nodes[index], nodes[draw(st.integers(0, index - 1))])
    pairs = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes))
    graph.add_edges_from((u, v) for u, v in draw(st.lists(pairs)) if u != v)
    return graph


def every_example():
    return {name: priors.make(name, seed=3, **kw) for name, kw in EXAMPLES.items()}


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")
