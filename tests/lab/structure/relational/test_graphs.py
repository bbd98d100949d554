"""Graphs of a public table, drawn again from their names; points far apart."""

import networkx as nx
import numpy as np
import pytest

from keras_invprune_lab.structure.relational import graphs
from keras_invprune_lab.structure.relational.graphs import (
    COMPLETE,
    drawn_again,
    far_apart,
)

TABLE = {  # graphs_n64_3942.npy of facebookresearch/graph2nn: clustering, path length
    "ws-flex-64-0.125000-0.001353-24": (0.6428571428571433, 4.444444444444445),
    "ws-flex-64-0.365501-0.098836-6": (0.57425391, 1.64087302),
    "ws-flex-64-0.828871-0.953725-17": (0.8531655131625389, 1.1577380952380953),
    # In which nodes are neighbors of all others and cannot be rewired.
    "ws-flex-64-0.964602-0.231944-21": (0.9803407162109072, 1.0198412698412698),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_graph_is_drawn_as_its_authors_have(name):
    graph = drawn_again(name)
    found = nx.average_clustering(graph), nx.average_shortest_path_length(graph)
    np.testing.assert_allclose(found, TABLE[name], rtol=0, atol=1e-8)
    assert list(graph) == list(range(64))
    assert graph.number_of_edges() == round(64**2 * float(name.split("-")[3]) / 2)


def test_the_seed_counts_and_the_complete_graph_has_a_name():
    one, same, other = (
        drawn_again(f"ws-flex-20-0.3-0.5-{seed}").edges for seed in (1, 1, 2)
    )
    assert set(one) == set(same) != set(other)
    assert nx.density(drawn_again(COMPLETE)) == 1


@pytest.mark.parametrize(
    "name", ["ws-64-0.2-0.5-1", "ws-flex-64-0.2-0.5", "ws-flex-64-1-0-1", "", "a-b"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=f"'ws-flex-NODES.*Received: '{name}'"):
        drawn_again(name)


def test_if_nothing_is_connected_it_says_so(monkeypatch):
    name = "ws-flex-400-0.005-1.0-0"  # few of these are
    assert nx.is_connected(drawn_again(name))
    monkeypatch.setattr(graphs, "TRIES", 1)
    with pytest.raises(ValueError, match="None of 1 graphs is connected"):
        drawn_again(name)


def test_each_point_is_the_furthest_from_those_before():
    points = np.random.default_rng(0).normal(size=(40, 2)) * (1, 100)
    found = far_apart(points, 12, first=3)
    assert found[0] == 3
    scaled = (points - points.min(0)) / (points.max(0) - points.min(0))
    for count in range(1, 12):
        assert far_apart(points, count, first=3) == found[:count]
        before = scaled[found[:count]]
        nearest = [np.hypot(*(point - before).T).min() for point in scaled]
        assert nearest[found[count]] == max(nearest) > 0


def test_no_point_is_chosen_twice_also_among_equals():
    points = np.array([(0, 0), (1, 1), (0, 0), (1, 1)])
    assert far_apart(points, 4, first=2) == [2, 1, 0, 3]


def test_more_points_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match="There are 3 points.*Received: 4"):
        far_apart(np.eye(3, 2), 4, first=0)
