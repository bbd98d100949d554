"""The graphs of graph2nn's table, drawn again, and graphs far apart from each other."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np

COMPLETE = "complete-64"
"""The name of the complete graph, which the table calls the baseline."""
KIND = "ws-flex"
TRIES = 100


def drawn_again(name: str) -> nx.Graph:
    """Return the graph with which a row of graph2nn's table was trained, edge by edge.

    Its authors drew it by Python's generator from the numbers in its name. So does this
    function, in the same order: a number in [0, 1) for each edge of the ring, and a new
    end, drawn again while it will not do, for those to rewire. `kip.priors.make` draws
    other graphs of the same kind.

    Args:
        name: ``ws-flex-NODES-SHARE-PROBABILITY-SEED``, as in the column ``graph`` of
            `read_graph2nn`, or `COMPLETE`. There are NODES² · SHARE / 2 edges.

    Returns:
        A connected graph of the nodes 0, 1, ...

    Example:
        >>> drawn_again("ws-flex-64-0.125000-0.008154-22").number_of_edges()
        256

    Raises:
        ValueError: If the name is not one of these, or no connected graph is found.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559), section 3.1,
        and its authors' code.
    """
    if name == COMPLETE:
        return nx.complete_graph(int(name.rpartition("-")[2]))
    nodes, share, probability, seed = _numbers(name)
    generator = random.Random(seed)
    for _ in range(TRIES):
        graph = _rewired(nodes, round(nodes**2 * share / 2), probability, generator)
        if nx.is_connected(graph):
            return graph
    raise ValueError(f"None of {TRIES} graphs is connected. Received: {name!r}.")


def _numbers(name) -> tuple[int, float, float, int]:
    kind, _, rest = name.rpartition(f"{KIND}-")
    try:
        nodes, share, probability, seed = rest.split("-")
        found = int(nodes), float(share), float(probability), int(seed)
    except ValueError:
        found = None
    if found is None or kind or not 2 <= found[0] * found[1] < found[0]:
        raise ValueError(
            f"A graph is named {COMPLETE!r} or '{KIND}-NODES-SHARE-PROBABILITY-SEED', "
            "with 2 neighbors of a node or more and fewer than there are nodes. "
            f"Received: {name!r}."
        )
    return found


def _rewired(nodes, edges, probability, generator) -> nx.Graph:
    """Return a ring of so many edges, each rewired with a probability."""
    share, rest = divmod(edges, nodes)
    ring = [
        (node, (node + step) % nodes)
        for node in range(nodes)
        for step in range(1, share + (node < rest) + 1)
    ]
    graph = nx.empty_graph(nodes)
    graph.add_edges_from(ring)
    for node, end in ring:
        if generator.random() < probability:
            new = _new_end(graph, node, generator)
            if new is not None:
                graph.remove_edge(node, end)
                graph.add_edge(node, new)
    return graph


def _new_end(graph, node, generator) -> int | None:
    """Return a node that is not a neighbor yet; None if all are, after two draws."""
    new = generator.randrange(len(graph))
    while new == node or graph.has_edge(node, new):
        new = generator.randrange(len(graph))
        if graph.degree(node) == len(graph) - 1:
            return None
    return new


def far_apart(points: np.ndarray, count: int, first: int) -> list[int]:
    """Return numbers of points, each the furthest from all before it.

    Distances are Euclidean, after each axis is scaled to [0, 1]; of points that are
    equally far, the first is taken.

    Args:
        points: [points, axes]; no axis may be constant.
        count: How many to return.
        first: The number of the point to begin with.

    Raises:
        ValueError: If there are not so many points.

    Source:
        Gonzalez 1985, Clustering to minimize the maximum intercluster distance.
    """
    if not 1 <= count <= len(points):
        raise ValueError(
            f"There are {len(points)} points to choose from. Received: {count}."
        )
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    chosen, distance = [first], np.full(len(points), np.inf)
    while len(chosen) < count:
        new = np.linalg.norm(scaled - scaled[chosen[-1]], axis=1)
        distance = np.minimum(distance, new)
        distance[chosen] = -1  # else one would come again once only its equals are left
        chosen.append(int(distance.argmax()))
    return chosen
