"""What describes a graph in numbers, to predict how well its network will do."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.layers import check_graph, generations, oriented

if TYPE_CHECKING:
    import networkx as nx

COUNTS = ("layers", "nodes", "edges", "source_nodes", "sink_nodes")
DISTANCES = ("diameter", "density", "average_shortest_path_length")
MEASURES = (
    "eccentricity",
    "degree_centrality",
    "closeness_centrality",
    "betweenness_centrality",
    "edge_betweenness_centrality",
)


def _variance(values: np.ndarray) -> float:
    """Return the sample variance, 0 for a single value."""
    return np.var(values, ddof=1) if len(values) > 1 else 0.0


MOMENTS: dict[str, Callable] = {
    "mean": np.mean,
    "var": _variance,
    "std": lambda values: np.sqrt(_variance(values)),
}
FEATURES = (
    *COUNTS,
    *DISTANCES,
    *(f"{measure}_{moment}" for measure in MEASURES for moment in MOMENTS),
)
"""The names of the features, in their order."""
MAX_STEPS = 2 * 10**8
"""The largest number of steps: nodes times edges for shortest paths, the sum of squared
degrees for triangles."""


def features(graph: "nx.Graph") -> dict[str, float]:
    """Return the 23 features of a graph, in the order of `FEATURES`.

    Layers are those of the oriented graph; source nodes are the nodes of the first
    layer, sink nodes those of the last. All distances and centralities ignore
    directions. Variances divide by one less than the number of values.

    Args:
        graph: As in `oriented`.

    Example:
        >>> from keras_invprune import priors
        >>> found = features(priors.make("tree", n=4, r=1))
        >>> found["layers"], found["diameter"], found["density"]
        (4.0, 3.0, 0.25)

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges, self loops or cycles, is not connected, or is
            too large.

    Source:
        Stier et al. 2021 (2107.12917), section 4, and its authors' code, which counts
        as sink nodes only those that the outputs read: the last layer.
    """
    directed = oriented(graph)
    _check_size(directed)
    plain = directed.to_undirected()
    nx, nodes, edges = networkx(), len(plain), plain.number_of_edges()
    rows = [list(row.values()) for _, row in nx.all_pairs_shortest_path_length(plain)]
    eccentricity = np.max(rows, axis=1)
    values = {
        "eccentricity": eccentricity,
        "degree_centrality": nx.degree_centrality(plain).values(),
        # (n - 1) / Σ d, and all nodes are within reach of each other
        "closeness_centrality": (nodes - 1) / np.sum(rows, axis=1),
        "betweenness_centrality": nx.betweenness_centrality(plain).values(),
        "edge_betweenness_centrality": nx.edge_betweenness_centrality(plain).values(),
    }
    layers = generations(directed)
    found = {
        "layers": len(layers),
        "nodes": nodes,
        "edges": edges,
        "source_nodes": len(layers[0]),
        "sink_nodes": len(layers[-1]),
        "diameter": eccentricity.max(),
        "density": edges / (nodes * (nodes - 1)),
        "average_shortest_path_length": np.sum(rows) / (nodes * (nodes - 1)),
    }
    for measure, each in values.items():
        array = np.fromiter(each, float)
        found |= {f"{measure}_{name}": of(array) for name, of in MOMENTS.items()}
    return {name: float(found[name]) for name in FEATURES}


def clustering(graph: "nx.Graph") -> float:
    """Return the average clustering coefficient C, ignoring directions.

    Args:
        graph: As in `path_length`.

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges or self loops, is not connected, or has nodes of
            too many edges.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559), section 3.2.
    """
    check_graph(graph)
    plain = graph.to_undirected()
    steps = sum(degree**2 for _, degree in plain.degree)
    if steps > MAX_STEPS:
        raise ValueError(
            "Finding triangles takes about Σ degree² steps over the nodes, at most "
            f"{MAX_STEPS:.0e} here. Received: {steps:.1e}, and "
            f"{max(degree for _, degree in plain.degree):,} edges at one node. Take a "
            "smaller or sparser graph."
        )
    return float(networkx().average_clustering(plain))


def path_length(graph: "nx.Graph") -> float:
    """Return the average shortest path length L, ignoring directions.

    Args:
        graph: A connected graph of networkx.

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If it has no edges or self loops, is not connected, or is too large.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559), section 3.2.
    """
    check_graph(graph)
    _check_size(graph)
    return float(networkx().average_shortest_path_length(graph.to_undirected()))


def _check_size(graph: "nx.Graph") -> None:
    nodes, edges = graph.number_of_nodes(), graph.number_of_edges()
    if nodes * edges > MAX_STEPS:
        raise ValueError(
            "Shortest paths between all nodes take about nodes · edges steps, at most "
            f"{MAX_STEPS:.0e} here (some minutes). Received: {nodes:,} nodes and "
            f"{edges:,} edges. Use a smaller graph."
        )
