"""A graph as layers: which node reads which, and when."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from keras_invprune.priors._libraries import networkx

if TYPE_CHECKING:
    import networkx as nx

MAX_LAYERS = 1_000
"""The largest number of layers of a network, since each is a layer of Keras."""
MAX_WEIGHTS = 2**28
"""The largest number of weights of a network, since zeros are stored, too."""


@dataclasses.dataclass(frozen=True, eq=False)
class Layered:
    """The nodes of a directed graph without cycles, in layers.

    Attributes:
        nodes: The numbers of the nodes in each layer, ascending. Layer 0 has those that
            read no other node. Any other node is one layer behind the last one that it
            reads.
        masks: ``{(s, t): bool [nodes of layer s, nodes of layer t]}``, True for edges
            from layer s to layer t; s < t, only pairs with edges, in order.
    """

    nodes: tuple[np.ndarray, ...]
    masks: dict[tuple[int, int], np.ndarray]

    def sources(self, layer: int) -> list[int]:
        """Return the layers that a layer reads, in order."""
        return [s for s, t in self.masks if t == layer]


def oriented(graph: "nx.Graph") -> "nx.DiGraph":
    """Return the graph in which each edge points from the lower to the higher node.

    A directed graph keeps its directions. Nodes that are integers of 64 bits keep
    their numbers; others are numbered in their order, or in that of their insertion if
    they have none.

    Args:
        graph: A connected graph of networkx without self loops. If directed, it has no
            cycles.

    Example:
        >>> import networkx as nx
        >>> sorted(oriented(nx.cycle_graph(3)).edges)
        [(0, 1), (0, 2), (1, 2)]

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges, self loops or cycles, or is not connected.
    """
    nx = networkx()
    check_graph(graph)
    made = nx.DiGraph()
    numbers = _numbers(graph)
    made.add_nodes_from(sorted(numbers.values()))
    edges = ((numbers[u], numbers[v]) for u, v in graph.edges)
    if graph.is_directed():
        made.add_edges_from(edges)
        if not nx.is_directed_acyclic_graph(made):
            cycle = [u for u, _ in nx.find_cycle(made)]
            raise ValueError(
                "A network's graph must not have cycles, since each node waits for "
                f"those that it reads. Received: the cycle {cycle}. Remove one of its "
                "edges, or pass `graph.to_undirected()`, whose edges then point from "
                "the lower to the higher node."
            )
    else:
        made.add_edges_from(sorted((min(edge), max(edge)) for edge in edges))
    return made


def _numbers(graph: "nx.Graph") -> dict:
    if all(_is_number(node) for node in graph):
        return {node: int(node) for node in graph}
    try:
        nodes = sorted(graph)
    except TypeError:  # of several kinds
        nodes = list(graph)
    return {node: number for number, node in enumerate(nodes)}


def _is_number(node: object) -> bool:
    """Return whether a node is an integer that an array can hold."""
    limits = np.iinfo(int)
    return isinstance(node, int | np.integer) and limits.min <= int(node) <= limits.max


def check_graph(graph: object) -> None:
    """Raise unless `graph` is connected, has edges and no self loops.

    Raises:
        TypeError: If it is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges, self loops, or is not connected.
    """
    nx = networkx()
    if not isinstance(graph, nx.Graph) or graph.is_multigraph():
        raise TypeError(
            "`graph` must be a networkx.Graph or DiGraph, which has at most one edge "
            f"between two nodes. Received: {type(graph).__name__}. "
            "`kip.priors.make(name, ...)` makes one."
        )
    if loops := list(nx.nodes_with_selfloops(graph)):
        raise ValueError(
            "A node must not read itself. Received: a graph with self loops at the "
            f"nodes {_some(loops)}. Remove them: "
            "`graph.remove_edges_from(list(nx.selfloop_edges(graph)))`."
        )
    if not graph.number_of_edges():
        raise ValueError(
            "A graph needs edges, which become the weights between its nodes. "
            f"Received: a graph of {graph.number_of_nodes()} nodes and no edges. Add "
            "some: `graph.add_edge(0, 1)`."
        )
    directed = graph.is_directed()
    components = nx.weakly_connected_components if directed else nx.connected_components
    parts = [sorted(p, key=str) for p in components(graph)]
    if len(parts) > 1:
        smallest = min(parts, key=len)
        raise ValueError(
            f"A graph must be connected. Received: {len(parts)} parts, one of them "
            f"with the nodes {_some(smallest)}. Add edges, or take the largest part: "
            f"`graph.subgraph(max(nx.{components.__name__}(graph), key=len))`."
        )


def _some(nodes: list) -> str:
    shown = ", ".join(map(repr, nodes[:5]))
    return f"{shown} and {len(nodes) - 5} more" if len(nodes) > 5 else shown


def layered(graph: "nx.Graph") -> Layered:
    """Return the nodes of a graph in layers, after `oriented`.

    The layer of a node is 0 if it reads no node, and otherwise one more than the
    highest layer among those that it reads.

    Args:
        graph: As in `oriented`.

    Example:
        >>> import networkx as nx
        >>> [list(map(int, nodes)) for nodes in layered(nx.cycle_graph(4)).nodes]
        [[0], [1], [2], [3]]

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges, self loops or cycles, is not connected, or makes
            more layers or weights than a network can have here.

    Source:
        Stier et al. 2021 (2107.12917); layers as in Stier and Granitzer 2019
        (1910.07225).
    """
    graph = oriented(graph)
    nodes = generations(graph)
    if len(nodes) > MAX_LAYERS:
        raise ValueError(
            f"A network can have at most {MAX_LAYERS} layers, since each is a Keras "
            f"layer. Received: a graph of {graph.number_of_nodes()} nodes, whose "
            f"longest path makes {len(nodes)} layers. Number its nodes in another "
            "order, or use a graph with shorter paths."
        )
    layer = {int(v): number for number, part in enumerate(nodes) for v in part}
    place = {int(v): index for part in nodes for index, v in enumerate(part)}
    found: dict[tuple[int, int], list] = {}
    for u, v in graph.edges:
        found.setdefault((layer[u], layer[v]), []).append((place[u], place[v]))
    pairs = sorted(found, key=lambda pair: (pair[1], pair[0]))
    check_weights(sum(len(nodes[s]) * len(nodes[t]) for s, t in pairs), len(graph))
    masks = {}
    for s, t in pairs:
        mask = np.zeros((len(nodes[s]), len(nodes[t])), bool)
        mask[tuple(np.transpose(found[s, t]))] = True
        masks[s, t] = mask
    return Layered(tuple(nodes), masks)


def check_weights(weights: int, nodes: int) -> None:
    """Raise ValueError if the weights of a network would not fit into memory.

    Args:
        weights: Number of weights, absent ones included.
        nodes: Number of nodes, for the message.
    """
    if weights > MAX_WEIGHTS:
        raise ValueError(
            f"A network can have at most {MAX_WEIGHTS:,} weights, absent ones "
            f"included, since they are stored as zeros. Received: a graph of {nodes:,} "
            f"nodes that needs {weights:,}, which take {weights / 2**28:.1f} GiB, and "
            "four times as much to train with Adam. Use a graph of fewer nodes."
        )


def generations(graph: "nx.DiGraph") -> list[np.ndarray]:
    """Return the numbers of the nodes in each layer, of a graph without cycles."""
    found = networkx().topological_generations(graph)
    return [np.array(sorted(nodes), int) for nodes in found]
