"""Relational graphs: Watts-Strogatz graphs of any number of edges."""

from typing import TYPE_CHECKING

import numpy as np

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.families._known import (
    check_edges,
    check_number,
    connected,
    known_as,
)

if TYPE_CHECKING:
    import networkx as nx


@known_as("relational")
def relational(n: int, k: float, p: float, seed: int = 0) -> "nx.Graph":
    """Return a connected graph of round(n·k/2) edges, between a ring and randomness.

    Each node starts with edges to the next nodes of a ring, the first nodes with one
    more if the edges cannot be shared equally. Each edge is rewired with a probability.

    Args:
        n: Number of nodes, at least 3. The paper uses 64.
        k: Average number of neighbors, in [2, n - 1]; it need not be an integer.
        p: Probability with which each edge is rewired, in [0, 1].
        seed: Seed of the random graph.

    Example:
        >>> relational(64, k=6.5, p=0.5).number_of_edges()
        208

    Raises:
        ValueError: If a parameter is out of its range, if there would be too many
            edges, or if no connected graph was found.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559), section 3.1,
        WS-flex.
    """
    check_number("n", n, 3, float("inf"))
    check_number("k", k, 2, n - 1, whole=False)
    check_number("p", p, 0, 1, whole=False)
    check_edges(n * k / 2, f"n={n}, k={k}")
    return connected(
        lambda seed: _ws_flex(n, k, p, np.random.default_rng(seed)),
        seed,
        f"Use more neighbors or rewire less. Received: n={n}, k={k}, p={p}.",
    )


def _ws_flex(n: int, k: float, p: float, generator: np.random.Generator) -> "nx.Graph":
    # As many edges from each node as equal shares allow; the first get the rest.
    share, rest = divmod(round(n * k / 2), n)
    steps = [share + (node < rest) for node in range(n)]
    neighbors: list[set[int]] = [set() for _ in range(n)]
    ring = [(u, (u + i + 1) % n) for u in range(n) for i in range(steps[u])]
    for u, v in ring:
        neighbors[u].add(v)
        neighbors[v].add(u)
    for u, v in ring:
        if generator.random() >= p or len(neighbors[u]) >= n - 1:
            continue
        w = u
        while w == u or w in neighbors[u]:
            w = int(generator.integers(n))
        neighbors[u].symmetric_difference_update((v, w))
        neighbors[v].remove(u)
        neighbors[w].add(u)
    graph = networkx().empty_graph(n)
    graph.add_edges_from((u, v) for u in range(n) for v in neighbors[u] if u < v)
    return graph
