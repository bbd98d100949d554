"""Erdős-Rényi graphs: each edge exists by itself."""

import math
from typing import TYPE_CHECKING

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.families._known import (
    check_edges,
    check_number,
    connected,
    known_as,
)

if TYPE_CHECKING:
    import networkx as nx


@known_as("erdos-renyi")
def erdos_renyi(n: int, p: float, seed: int = 0) -> "nx.Graph":
    """Return a connected graph in which each pair of nodes has an edge by chance.

    Args:
        n: Number of nodes, at least 2.
        p: Probability of each edge, in (0, 1]. Near ln(n)/n, about every third graph
            is connected, and of those below hardly any.
        seed: Seed of the random graph.

    Example:
        >>> erdos_renyi(10, 1.0).number_of_edges()
        45

    Raises:
        ValueError: If a parameter is out of its range, if there would be too many
            edges, or if no connected graph was found.

    Source:
        Gilbert 1959, Random graphs, G(n, p), conditioned on being connected.
    """
    check_number("n", n, 2, math.inf)
    check_number("p", p, 0, 1, whole=False)
    check_edges(p * n * (n - 1) / 2, f"n={n}, p={p}")
    nx = networkx()
    return connected(
        lambda seed: nx.fast_gnp_random_graph(n, p, seed=seed),
        seed,
        f"Graphs of {n} nodes are often connected from p = ln(n)/n = "
        f"{math.log(n) / n:.2g}. Received: p={p}.",
    )
