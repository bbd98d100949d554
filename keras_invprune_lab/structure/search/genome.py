"""The graphs of a search: their bounds, one form for all that are isomorphic, files."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import networkx as nx
import numpy as np

from keras_invprune.priors import make, oriented

TRIES = 100
"""How often something is drawn until it is valid."""
LEAVES = 2_000
"""How many orders of the nodes are compared to find the first one."""
FAMILIES = ("watts-strogatz", "erdos-renyi", "barabasi-albert")


class RefusedError(ValueError):
    """A graph cannot be changed in this way, or the result would not be valid."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Which graphs a search may visit.

    Attributes:
        min_nodes: The smallest number of nodes, at least 2.
        max_nodes: The largest number of nodes.
        max_edges: The largest number of edges.
    """

    min_nodes: int
    max_nodes: int
    max_edges: int

    def check(self, graph: nx.DiGraph) -> nx.DiGraph:
        """Return a graph if it is valid.

        Its nodes are 0, 1, ..., its edges lead from lower to higher nodes, it is
        connected and within the bounds.

        Raises:
            RefusedError: If it is not.
        """
        nodes, edges = graph.number_of_nodes(), graph.number_of_edges()
        if sorted(graph) != list(range(nodes)) or any(u >= v for u, v in graph.edges):
            raise RefusedError("Edges must lead from lower to higher nodes 0, 1, ...")
        if not self.min_nodes <= nodes <= self.max_nodes:
            raise RefusedError(
                f"A graph must have {self.min_nodes} to {self.max_nodes} nodes. "
                f"Received: {nodes}."
            )
        if not 1 <= edges <= self.max_edges:
            raise RefusedError(
                f"A graph must have 1 to {self.max_edges} edges. Received: {edges}."
            )
        if not nx.is_weakly_connected(graph):
            raise RefusedError("A graph must be connected.")
        return graph


def drawn(bounds: Bounds, random: np.random.Generator) -> nx.DiGraph:
    """Return a random graph: a number of nodes, a family and its parameters by chance.

    Args:
        bounds: Which graphs are valid.
        random: Where all chance comes from.

    Raises:
        RefusedError: If no valid graph was found in `TRIES` draws.
    """
    for _ in range(TRIES):
        n = int(random.integers(bounds.min_nodes, bounds.max_nodes + 1))
        family = FAMILIES[random.integers(len(FAMILIES))]
        seed = int(random.integers(2**31))
        try:
            graph = make(family, seed=seed, **_parameters(family, n, random))
            return bounds.check(oriented(graph))
        except ValueError:  # such as no connected graph, or too many edges
            continue
    raise RefusedError(f"None of {TRIES} random graphs was within {bounds}.")


def _parameters(family, n, random) -> dict[str, Any]:
    if family == "watts-strogatz":
        k = 2 * int(random.integers(1, 4))
        return {"n": n, "k": min(k, n - 1), "p": float(random.random())}
    if family == "erdos-renyi":
        return {"n": n, "p": float(random.uniform(0.2, 0.7))}
    return {"n": n, "m": int(random.integers(1, min(4, n - 1) + 1))}


def numbered(graph: nx.DiGraph) -> nx.DiGraph:
    """Return a graph without cycles whose nodes are 0, 1, ... along the edges.

    Nodes that could be in either order keep the order of their names.
    """
    order = list(nx.lexicographical_topological_sort(graph))
    number = {node: place for place, node in enumerate(order)}
    made = nx.empty_graph(len(order), nx.DiGraph)
    made.add_edges_from(sorted((number[u], number[v]) for u, v in graph.edges))
    return made


def canonical(graph: nx.DiGraph) -> nx.DiGraph:
    """Return the one graph that stands for all that are isomorphic to this one.

    Nodes are told apart by their depth and by their neighbors' marks, again and again,
    until nothing changes. Where some still look the same, each is put first in turn,
    and the result with the lexicographically smallest edges wins. Of nodes with the
    same neighbors, one is enough. After `LEAVES` results, the search ends. Then two
    isomorphic graphs may get different forms and are trained twice, but two graphs
    that differ never share one.

    Args:
        graph: A graph without cycles.

    Returns:
        A graph of nodes 0, 1, ..., whose edges lead from lower to higher nodes.

    Source:
        Individualization and refinement, as in McKay and Piperno 2014, Practical graph
        isomorphism II (1301.1493), section 2.
    """
    marks = {
        node: depth
        for depth, nodes in enumerate(nx.topological_generations(graph))
        for node in nodes
    }
    found: list[list[tuple[int, int]]] = []
    _refine_all(graph, _refined(graph, marks), found)
    made = nx.empty_graph(len(graph), nx.DiGraph)
    made.add_edges_from(min(found))
    return made


def _refine_all(graph, marks, found):
    """Add the sorted edges of each order of the nodes that has to be compared."""
    cells: dict[int, list] = {}
    for node, mark in marks.items():
        cells.setdefault(mark, []).append(node)
    several = [mark for mark in sorted(cells) if len(cells[mark]) > 1]
    if not several:
        found.append(sorted((marks[u], marks[v]) for u, v in graph.edges))
        return
    cell = cells[several[0]]
    for node in _without_twins(graph, cell):
        if len(found) >= LEAVES:
            return
        # The chosen node keeps the mark, and those that looked the same come after it.
        first = {each: 2 * mark + 1 for each, mark in marks.items()} | {
            node: 2 * marks[node]
        }
        _refine_all(graph, _refined(graph, first), found)


def _without_twins(graph, cell) -> list:
    seen = {}
    for node in cell:
        neighbors = frozenset(graph.pred[node]), frozenset(graph.succ[node])
        seen.setdefault(neighbors, node)
    return list(seen.values())


def _refined(graph, marks) -> dict:
    """Return marks 0, 1, ... that also tell apart what has neighbors of other marks."""
    count = 0
    while True:
        views = {
            node: (
                marks[node],
                sorted(marks[other] for other in graph.pred[node]),
                sorted(marks[other] for other in graph.succ[node]),
            )
            for node in graph
        }
        ranks: dict[str, int] = {}
        for place, view in enumerate(sorted(views.values())):
            ranks.setdefault(repr(view), place)
        marks = {node: ranks[repr(view)] for node, view in views.items()}
        if len(ranks) == count:
            return marks
        count = len(ranks)


def key_of(graph: nx.DiGraph) -> str:
    """Return a text that says which graph it is, of its `canonical` form.

    Example:
        >>> key_of(nx.DiGraph([("b", "a"), ("b", "c")]))
        '3:0-1,0-2'
    """
    made = canonical(graph)
    return f"{len(made)}:" + ",".join(f"{u}-{v}" for u, v in sorted(made.edges))


def graph_from(key: str) -> nx.DiGraph:
    """Return the graph that a text of `key_of` says.

    Raises:
        ValueError: If it is not such a text.
    """
    try:
        nodes, edges = key.split(":")
        pairs = [tuple(map(int, edge.split("-"))) for edge in edges.split(",")]
        graph = nx.empty_graph(int(nodes), nx.DiGraph)
        graph.add_edges_from(pairs)
    except (ValueError, nx.NetworkXError) as error:
        raise ValueError(
            "A graph is written as its nodes and edges, such as '3:0-1,0-2'. "
            f"Received: {key!r}."
        ) from error
    Bounds(2, int(nodes), len(pairs)).check(graph)
    return graph


def name_of(key: str) -> str:
    """Return a short name of a graph, the same everywhere."""
    return hashlib.sha256(key.encode()).hexdigest()[:10]
