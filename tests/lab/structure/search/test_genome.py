"""Valid graphs, and one form for all that are isomorphic."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune_lab.structure.search.genome import (
    Bounds,
    RefusedError,
    canonical,
    drawn,
    graph_from,
    key_of,
    name_of,
    numbered,
)

BOUNDS = Bounds(3, 9, 20)


def graphs(bounds=BOUNDS):
    """Random valid graphs."""
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: drawn(bounds, np.random.default_rng(seed)))


def renamed(graph, seed):
    """The same graph under other names, inserted in another order."""
    random = np.random.default_rng(seed)
    names = random.permutation(len(graph))
    made = nx.DiGraph()
    made.add_nodes_from(random.permutation(len(graph)).tolist())
    edges = [(int(names[u]), int(names[v])) for u, v in graph.edges]
    made.add_edges_from(edges[i] for i in random.permutation(len(edges)))
    return made


@given(graphs(), st.integers(0, 1000))
def test_isomorphic_graphs_have_one_form(graph, seed):
    other = renamed(graph, seed)
    assert key_of(other) == key_of(graph)
    form = canonical(other)
    BOUNDS.check(form)
    assert nx.is_isomorphic(form, graph)
    assert key_of(form) == key_of(graph)


def test_all_graphs_of_four_nodes_are_told_apart():
    pairs = list(itertools.combinations(range(4), 2))
    bounds, found = Bounds(4, 4, 6), {}
    for chosen in itertools.product([False, True], repeat=len(pairs)):
        graph = nx.empty_graph(4, nx.DiGraph)
        graph.add_edges_from(itertools.compress(pairs, chosen))
        try:
            found.setdefault(key_of(bounds.check(graph)), []).append(graph)
        except RefusedError:
            continue
    for same in found.values():
        assert all(nx.is_isomorphic(same[0], other) for other in same)
    firsts = [same[0] for same in found.values()]
    for one, other in itertools.combinations(firsts, 2):
        assert not nx.is_isomorphic(one, other)
    assert len(firsts) == 24  # connected acyclic digraphs of 4 nodes, OEIS A101228


def test_symmetric_graphs_are_no_burden():
    hub = nx.DiGraph([(0, leaf) for leaf in range(1, 12)])
    assert key_of(hub) == "12:" + ",".join(f"0-{leaf}" for leaf in range(1, 12))
    ladder = nx.DiGraph((i, 6 + (i + j) % 6) for i in range(6) for j in range(2))
    assert key_of(renamed(ladder, 1)) == key_of(ladder)


@given(graphs())
def test_a_key_is_read_back(graph):
    key = key_of(graph)
    assert nx.utils.graphs_equal(graph_from(key), canonical(graph))
    assert len(name_of(key)) == 10


@pytest.mark.parametrize("key", ["", "3", "2:", "2:1-0", "3:0-1", "2:0-1,1-5", "x:0-1"])
def test_a_foreign_key_is_refused(key):
    with pytest.raises(ValueError):
        graph_from(key)


@pytest.mark.parametrize(
    "edges, nodes, fact",
    [
        ([(0, 1)], 2, "3 to 9 nodes"),
        ([(0, 1), (1, 2), (0, 2)], 4, "connected"),
        ([(1, 0), (1, 2)], 3, "lower to higher"),
        (itertools.combinations(range(8), 2), 8, "20 edges"),
    ],
)
def test_an_invalid_graph_is_refused(edges, nodes, fact):
    graph = nx.empty_graph(nodes, nx.DiGraph)
    graph.add_edges_from(edges)
    with pytest.raises(RefusedError, match=fact):
        BOUNDS.check(graph)


def test_random_graphs_are_seeded_and_cover_all_sizes():
    def some():
        random = np.random.default_rng(0)
        return [drawn(BOUNDS, random) for _ in range(60)]

    first = some()
    assert {len(graph) for graph in first} == set(range(3, 10))
    assert [key_of(g) for g in first] == [key_of(g) for g in some()]


def test_bounds_without_any_graph_are_refused():
    with pytest.raises(RefusedError, match="None of 100"):
        drawn(Bounds(9, 9, 5), np.random.default_rng(0))


def test_numbers_follow_the_edges():
    graph = nx.DiGraph([(5, 1), (1, 1.5), (5, 7)])
    assert sorted(numbered(graph).edges) == [(0, 1), (0, 3), (1, 2)]
