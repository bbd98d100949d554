import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs import EXAMPLES, assert_same
from keras_invprune import priors
from keras_invprune.priors.families import _known

every_prior = pytest.mark.parametrize("name", priors.PRIORS)
RANDOM = set(priors.PRIORS) - {"grid"}


def make(name, seed=0):
    return priors.make(name, seed=seed, **EXAMPLES[name])


def test_each_has_an_example():
    assert EXAMPLES.keys() == priors.PRIORS.keys()


@every_prior
def test_graphs_are_connected_and_numbered_from_0(name):
    for seed in range(5):
        graph = make(name, seed)
        assert nx.is_connected(graph) and not graph.is_directed()
        assert sorted(graph) == list(range(len(graph)))
        assert not nx.number_of_selfloops(graph)


@every_prior
def test_the_seed_decides(name):
    assert_same(make(name, 1), make(name, 1))
    others = [set(map(frozenset, make(name, seed).edges)) for seed in range(5)]
    assert (others[1:] != others[:-1]) is (name in RANDOM)


def test_the_paper_s_defaults():
    # n // 5 neighbors, and n // 10 edges of each new node
    assert priors.make("watts-strogatz", n=50).number_of_edges() == 50 * 10 // 2
    assert priors.make("barabasi-albert", n=50).number_of_edges() == 45 * 5


@pytest.mark.parametrize(("n", "m"), [(2, 1), (12, 1), (12, 4), (12, 11), (40, 4)])
def test_the_first_m_nodes_of_barabasi_and_albert_are_the_sources(n, m):
    directed = priors.oriented(priors.make("barabasi-albert", n=n, m=m))
    sources = [node for node, degree in directed.in_degree if degree == 0]
    assert sources == list(range(m)) and sorted(directed.pred[m]) == sources
    assert all(directed.in_degree(node) == m for node in range(m, n))


def test_trees_have_one_edge_less_than_nodes():
    assert all(nx.is_tree(priors.make("tree", seed, n=20)) for seed in range(5))
    complete = priors.make("tree", n=13, r=3)
    assert sorted(complete.degree(v) for v in complete) == [1] * 9 + [3] + [4] * 3


@settings(max_examples=60)
@given(st.integers(4, 20), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_relational_graphs_have_the_edges_asked_for(n, share, p, seed):
    k = 2 + share * (n - 3)
    graph = priors.make("relational", seed=seed, n=n, k=k, p=p)
    assert graph.number_of_edges() == round(n * k / 2)


def test_rewiring_leads_from_a_ring_to_randomness():
    # You et al., figure 1: clustering and path length fall with p.
    found = [priors.make("relational", n=64, k=8, p=p) for p in (0, 0.1, 1)]
    clustering = [priors.clustering(graph) for graph in found]
    length = [priors.path_length(graph) for graph in found]
    assert clustering == sorted(clustering, reverse=True) and clustering[-1] < 0.2
    assert length == sorted(length, reverse=True) and length[-1] < 3
    # A ring of k neighbors: C = 3(k - 2) / 4(k - 1)
    assert clustering[0] == pytest.approx(3 * 6 / (4 * 7))


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("watts-strogats", {"n": 9}, "Unknown prior.*Did you mean 'watts-strogatz'"),
        ("tree", {"n": 9, "R": 2}, "takes .'n', 'r'.*'R'. Did you mean 'r'"),
        ("tree", {"n": 1}, "`n` must be an integer of at least 2. Received: n=1"),
        ("tree", {"n": 4.5}, "`n` must be an integer"),
        ("erdos-renyi", {"n": 9, "p": 1.5}, r"`p` must be a number in \[0, 1\].*1.5"),
        ("erdos-renyi", {"n": 99, "p": 0.01}, "connected from p = .* = 0.046"),
        ("watts-strogatz", {"n": 9, "k": 9}, r"`k` must be an integer in \[2, 8\]"),
        ("barabasi-albert", {"n": 9, "m": 0}, r"`m` must be an integer in \[1, 8\]"),
        ("relational", {"n": 9, "k": 1.5, "p": 0}, r"`k` must be a number in \[2, 8\]"),
        ("grid", {"rows": 2, "columns": 1}, "`columns` must be an integer of at"),
    ],
)
def test_bad_input(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        priors.make(name, **parameters)


NETWORKS = {
    "feed_forward": (3, 2),
    "recurrent": (3, 2),
    "convolutional": ((4, 4, 1), 2),
}


@pytest.mark.parametrize("seed", [-1, 1.5, "one", None, True])
@pytest.mark.parametrize("made", [*priors.PRIORS, *NETWORKS])
def test_seeds_are_integers_from_0(made, seed):
    with pytest.raises(ValueError, match=f"`seed` must be .* seed={seed!r}"):
        if made in NETWORKS:
            getattr(priors, made)(nx.path_graph(3), *NETWORKS[made], seed=seed)
        else:
            make(made, seed)


def test_missing_parameters_are_named():
    with pytest.raises(TypeError, match=r"needs \['n', 'p'\]. Missing: \['p'\]"):
        priors.make("erdos-renyi", n=9)


def test_numbers_of_numpy_will_do():
    n = np.random.default_rng(0).integers(10, 50)
    assert len(priors.make("barabasi-albert", n=n)) == n


@every_prior
def test_without_networkx_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[structure\]'"):
        make(name)


def test_of_large_graphs_fewer_are_drawn(monkeypatch):
    monkeypatch.setattr(_known, "MAX_DRAWN", 10)
    parts, seeds = nx.Graph([(0, 1), (1, 2), (3, 4), (4, 5)]), []
    with pytest.raises(ValueError, match="None of 3 graphs .* Use fewer parts"):
        _known.connected(lambda s: seeds.append(s) or parts, 0, "Use fewer parts.")
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    "name, parameters, edges",
    [
        ("watts-strogatz", {}, "1,000,000,000"),
        ("barabasi-albert", {}, "900,000,000"),
        ("erdos-renyi", {"p": 0.5}, "2,499,975,000"),
        ("relational", {"k": 1000.0, "p": 0.5}, "50,000,000"),
        ("tree", {"n": 10**9}, "999,999,999"),
        ("grid", {"rows": 10**5, "columns": 10**3}, "199,899,000"),
    ],
)
def test_more_edges_than_fit_into_memory_are_refused_at_once(name, parameters, edges):
    size = {} if name == "grid" else {"n": 10**5}
    with pytest.raises(ValueError, match=f"5,000,000 edges.*Received: .*{edges}"):
        priors.make(name, **{**size, **parameters})
