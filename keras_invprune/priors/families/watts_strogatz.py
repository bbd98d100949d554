"""Watts-Strogatz graphs: a ring of neighbors, partly rewired."""

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


@known_as("watts-strogatz")
def watts_strogatz(
    n: int, k: int | None = None, p: float = 1.0, seed: int = 0
) -> "nx.Graph":
    """Return a connected small-world graph.

    Args:
        n: Number of nodes, at least 3.
        k: Number of neighbors in the ring, in [2, n - 1]; an odd number counts as the
            even one below. None: n // 5, as in the paper, but at least 2.
        p: Probability with which each edge is rewired, in [0, 1]. The paper uses 1.
        seed: Seed of the random graph.

    Example:
        >>> watts_strogatz(20).number_of_edges()
        40

    Raises:
        ValueError: If a parameter is out of its range, if there would be too many
            edges, or if no connected graph was found.

    Source:
        Watts and Strogatz 1998, Collective dynamics of small-world networks; with these
        defaults, Stier et al. 2021 (2107.12917).
    """
    check_number("n", n, 3, math.inf)
    k = max(2, n // 5) if k is None else k
    check_number("k", k, 2, n - 1)
    check_number("p", p, 0, 1, whole=False)
    check_edges(n * k / 2, f"n={n}, k={k}")
    nx = networkx()
    return connected(
        lambda seed: nx.watts_strogatz_graph(n, k, p, seed=seed),
        seed,
        f"Use more neighbors or rewire less. Received: n={n}, k={k}, p={p}.",
    )
