"""Barabási-Albert graphs: new nodes prefer nodes with many edges."""

import math
from typing import TYPE_CHECKING

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.families._known import check_edges, check_number, known_as

if TYPE_CHECKING:
    import networkx as nx


@known_as("barabasi-albert")
def barabasi_albert(n: int, m: int | None = None, seed: int = 0) -> "nx.Graph":
    """Return a scale-free graph. It is always connected.

    It begins with m nodes without edges, all of which the next node gets. So when its
    edges are oriented, it has m sources. networkx begins with the same star, but its
    center is node 0, which would be the only source.

    Args:
        n: Number of nodes, at least 2.
        m: Number of edges of each new node, in [1, n - 1]. None: n // 10, as in the
            paper, but at least 1.
        seed: Seed of the random graph.

    Example:
        >>> graph = barabasi_albert(30)  # m = 3
        >>> graph.number_of_edges(), sorted(graph[3])[:3]
        (81, [0, 1, 2])

    Raises:
        ValueError: If a parameter is out of its range, or if there would be too many
            edges.

    Source:
        Barabási and Albert 1999, Emergence of scaling in random networks; with these
        defaults, Stier et al. 2021 (2107.12917), whose graphs were made by an older
        networkx that began like this.
    """
    check_number("n", n, 2, math.inf)
    m = max(1, n // 10) if m is None else m
    check_number("m", m, 1, n - 1)
    check_edges(m * (n - m), f"n={n}, m={m}")
    nx = networkx()
    first = nx.Graph([(node, m) for node in range(m)])
    return nx.barabasi_albert_graph(n, m, seed=seed, initial_graph=first)
