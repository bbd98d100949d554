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

    Args:
        n: Number of nodes, at least 2.
        m: Number of edges of each new node, in [1, n - 1]. None: n // 10, as in the
            paper, but at least 1.
        seed: Seed of the random graph.

    Example:
        >>> barabasi_albert(30).number_of_edges()  # m = 3
        81

    Raises:
        ValueError: If a parameter is out of its range, or if there would be too many
            edges.

    Source:
        Barabási and Albert 1999, Emergence of scaling in random networks; with these
        defaults, Stier et al. 2021 (2107.12917).
    """
    check_number("n", n, 2, math.inf)
    m = max(1, n // 10) if m is None else m
    check_number("m", m, 1, n - 1)
    check_edges(m * (n - m), f"n={n}, m={m}")
    return networkx().barabasi_albert_graph(n, m, seed=seed)
