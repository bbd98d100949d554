"""What changes graphs: mutations of one, crossovers of two, all seeded.

Each operator is a pure function that returns a valid graph or raises `RefusedError`.
`mutated` and `crossed` try others then.
"""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np

from keras_invprune_lab.structure.search.genome import (
    TRIES,
    Bounds,
    RefusedError,
    numbered,
)

Random = np.random.Generator


def add_vertex(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Put a new vertex between two others: it reads the lower, the higher reads it."""
    u, v = _pair(len(graph), random)
    made, new = nx.DiGraph(graph), u + 0.5  # directly behind the vertex that it reads
    made.add_edges_from([(u, new), (new, v)])
    return bounds.check(numbered(made))


def remove_vertex(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Remove a vertex with its edges."""
    made = nx.DiGraph(graph)
    made.remove_node(int(random.integers(len(graph))))
    return bounds.check(numbered(made))


def add_edge(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Add an edge between two vertices that have none."""
    absent = sorted(_possible(graph) - set(graph.edges))
    made = nx.DiGraph(graph)
    made.add_edge(*_choice(absent, random))
    return bounds.check(made)


def remove_edge(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Remove an edge."""
    made = nx.DiGraph(graph)
    made.remove_edge(*_choice(sorted(graph.edges), random))
    return bounds.check(made)


def duplicate(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Add a second vertex that reads, and is read by, the same vertices as another."""
    vertex = int(random.integers(len(graph)))
    made, new = nx.DiGraph(graph), vertex + 0.5
    made.add_edges_from((u, new) for u in graph.predecessors(vertex))
    made.add_edges_from((new, v) for v in graph.successors(vertex))
    return bounds.check(numbered(made))


def rewire(graph: nx.DiGraph, bounds: Bounds, random: Random) -> nx.DiGraph:
    """Move one end of an edge to another vertex."""
    u, v = _choice(sorted(graph.edges), random)
    if random.random() < 0.5:
        others = [(u, w) for w in range(u + 1, len(graph)) if not graph.has_edge(u, w)]
    else:
        others = [(w, v) for w in range(v) if not graph.has_edge(w, v)]
    made = nx.DiGraph(graph)
    made.remove_edge(u, v)
    made.add_edge(*_choice(others, random))
    return bounds.check(made)


def join(
    first: nx.DiGraph, second: nx.DiGraph, bounds: Bounds, random: Random
) -> nx.DiGraph:
    """Put the last vertices of one graph behind the first vertices of another.

    Edges inside of each part stay. An edge of either graph across its cut keeps its end
    inside of the part that is used, and gets another end in the other part by chance.
    """
    cut = int(random.integers(1, len(first)))
    rest = int(random.integers(1, len(second)))
    size = len(second) - rest
    made = nx.empty_graph(cut + size, nx.DiGraph)
    for u, v in sorted(first.edges):
        if v < cut:
            made.add_edge(u, v)
        elif u < cut:
            made.add_edge(u, cut + int(random.integers(size)))
    for u, v in sorted(second.edges):
        if u >= rest:
            made.add_edge(cut + u - rest, cut + v - rest)
        elif v >= rest:
            made.add_edge(int(random.integers(cut)), cut + v - rest)
    return bounds.check(made)


def mix(
    first: nx.DiGraph, second: nx.DiGraph, bounds: Bounds, random: Random
) -> nx.DiGraph:
    """Keep the edges that both graphs have, and each of the others by chance.

    The number of vertices is that of one of both.
    """
    size = len((first, second)[random.integers(2)])
    both = set(first.edges) & set(second.edges)
    either = sorted(set(first.edges) ^ set(second.edges))
    made = nx.empty_graph(size, nx.DiGraph)
    drawn = [edge for edge in either if random.random() < 0.5]
    made.add_edges_from((u, v) for u, v in sorted([*both, *drawn]) if v < size)
    return bounds.check(made)


MUTATIONS: dict[str, Callable] = {
    "add_vertex": add_vertex,
    "remove_vertex": remove_vertex,
    "add_edge": add_edge,
    "remove_edge": remove_edge,
    "duplicate": duplicate,
    "rewire": rewire,
}
CROSSOVERS: dict[str, Callable] = {"join": join, "mix": mix}


def mutated(
    graph: nx.DiGraph, bounds: Bounds, random: Random
) -> tuple[nx.DiGraph, str]:
    """Return a changed graph, and the name of the operator.

    Raises:
        RefusedError: If none of `TRIES` changes is valid.
    """
    return _tried(MUTATIONS, (graph,), bounds, random)


def crossed(
    first: nx.DiGraph, second: nx.DiGraph, bounds: Bounds, random: Random
) -> tuple[nx.DiGraph, str]:
    """Return a graph made of two, and the name of the operator.

    Raises:
        RefusedError: If none of `TRIES` graphs is valid.
    """
    return _tried(CROSSOVERS, (first, second), bounds, random)


def _tried(operators, graphs, bounds, random):
    names = list(operators)
    for _ in range(TRIES):
        name = names[random.integers(len(names))]
        try:
            return operators[name](*graphs, bounds, random), name
        except RefusedError:
            continue
    raise RefusedError(f"None of {TRIES} changes of a graph was within {bounds}.")


def _possible(graph) -> set[tuple[int, int]]:
    return {(u, v) for v in range(len(graph)) for u in range(v)}


def _pair(size, random) -> tuple[int, int]:
    u, v = sorted(random.choice(size, 2, replace=False))
    return int(u), int(v)


def _choice(options, random):
    if not options:
        raise RefusedError("There is nothing to choose from.")
    return options[random.integers(len(options))]
