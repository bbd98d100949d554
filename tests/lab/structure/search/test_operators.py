"""Operators: each result is valid, or refused; the same seed gives the same graph."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune_lab.structure.search.genome import (
    Bounds,
    RefusedError,
    drawn,
)
from keras_invprune_lab.structure.search.operators import (
    CROSSOVERS,
    MUTATIONS,
    add_edge,
    add_vertex,
    crossed,
    duplicate,
    join,
    mix,
    mutated,
    remove_edge,
    remove_vertex,
    rewire,
)

BOUNDS = Bounds(3, 9, 20)
WIDE = Bounds(2, 99, 999)
SEEDS = st.integers(0, 2**32 - 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def path(nodes):
    return nx.path_graph(nodes, nx.DiGraph)


@pytest.mark.parametrize("name", [*MUTATIONS, *CROSSOVERS])
@given(seed=SEEDS)
def test_results_are_valid_and_arguments_unchanged(name, seed):
    operator = (MUTATIONS | CROSSOVERS)[name]
    random = rng(seed)
    graphs = [drawn(BOUNDS, random) for _ in range(2 if name in CROSSOVERS else 1)]
    before = [nx.DiGraph(graph) for graph in graphs]
    results = []
    for _ in range(2):
        try:
            results.append(BOUNDS.check(operator(*graphs, BOUNDS, rng(seed))))
        except RefusedError as error:
            results.append(str(error))
    one, other = results
    same = one == other if isinstance(one, str) else nx.utils.graphs_equal(one, other)
    assert same
    assert all(map(nx.utils.graphs_equal, graphs, before))


@given(seed=SEEDS)
def test_each_mutation_does_what_it_says(seed):
    graph = drawn(Bounds(4, 8, 15), rng(seed))
    nodes, edges = len(graph), graph.number_of_edges()
    more = add_vertex(graph, WIDE, rng(seed))
    assert (len(more), more.number_of_edges()) == (nodes + 1, edges + 2)
    twin = duplicate(graph, WIDE, rng(seed))
    assert len(twin) == nodes + 1
    assert twin.number_of_edges() > edges
    for operator, change in ((add_edge, 1), (remove_edge, -1), (rewire, 0)):
        try:
            made = operator(graph, WIDE, rng(seed))
        except RefusedError:
            continue
        assert len(made) == nodes
        assert made.number_of_edges() == edges + change
        kept = set(graph.edges) & set(made.edges)
        assert len(kept) == edges - (change <= 0)


def test_a_duplicate_has_the_same_neighbors():
    graph = nx.DiGraph([(0, 1), (1, 2)])
    found = {
        tuple(sorted(duplicate(graph, WIDE, rng(seed)).edges)) for seed in range(20)
    }
    assert ((0, 1), (0, 2), (1, 3), (2, 3)) in found  # vertex 1 twice


def test_what_would_disconnect_is_refused():
    with pytest.raises(RefusedError, match="connected"):
        remove_edge(path(4), WIDE, rng())
    star = nx.DiGraph([(0, 3), (1, 3), (2, 3)])
    outcomes = set()
    for seed in range(20):
        try:
            outcomes.add(len(remove_vertex(star, WIDE, rng(seed))))
        except RefusedError:
            outcomes.add("refused")
    assert outcomes == {3, "refused"}


def test_a_full_graph_has_no_room_for_an_edge():
    full = nx.DiGraph((u, v) for v in range(4) for u in range(v))
    with pytest.raises(RefusedError, match="nothing to choose"):
        add_edge(full, WIDE, rng())


@given(seed=SEEDS)
def test_joined_parts_keep_their_inner_edges(seed):
    made = join(path(6), path(5), WIDE, rng(seed))
    # Two paths, cut and joined, are two paths again, and an edge or two between them.
    assert 2 <= len(made) <= 9
    assert len(made) - 1 <= made.number_of_edges() <= len(made)


def test_mixed_graphs_share_what_both_have():
    first = nx.DiGraph([(0, 1), (1, 2), (0, 2)])
    second = nx.DiGraph([(0, 1), (1, 2), (2, 3)])
    sizes = set()
    for seed in range(20):
        try:
            made = mix(first, second, WIDE, rng(seed))
        except RefusedError:  # the fourth node without its only edge
            continue
        sizes.add(len(made))
        assert {(0, 1), (1, 2)} <= set(made.edges)
        assert set(made.edges) <= set(first.edges) | set(second.edges)
    assert sizes == {3, 4}


def test_refusals_are_retried_and_then_told():
    random = rng()
    made, name = mutated(path(3), Bounds(3, 3, 3), random)
    assert name in MUTATIONS
    Bounds(3, 3, 3).check(made)
    made, name = crossed(path(5), path(4), BOUNDS, random)
    assert name in CROSSOVERS
    BOUNDS.check(made)
    with pytest.raises(RefusedError, match="None of 100"):
        mutated(path(2), Bounds(2, 2, 1), random)
