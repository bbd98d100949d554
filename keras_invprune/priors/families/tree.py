"""Trees: as few edges as a connected graph can have."""

import math
from typing import TYPE_CHECKING

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.families._known import check_edges, check_number, known_as

if TYPE_CHECKING:
    import networkx as nx


@known_as("tree")
def tree(n: int, r: int | None = None, seed: int = 0) -> "nx.Graph":
    """Return a tree.

    Args:
        n: Number of nodes, at least 2.
        r: Number of children of each node, at least 1, except where nodes run out; the
            root is node 0. None: a tree drawn uniformly from all labeled trees.
        seed: Seed of the random tree; unused if `r` is given.

    Example:
        >>> sorted(tree(5, r=2).edges)
        [(0, 1), (0, 2), (1, 3), (1, 4)]

    Raises:
        ValueError: If a parameter is out of its range, or if there would be too many
            edges.
    """
    check_number("n", n, 2, math.inf)
    check_edges(n - 1, f"n={n}")
    nx = networkx()
    if r is None:
        return nx.random_labeled_tree(n, seed=seed)
    check_number("r", r, 1, math.inf)
    return nx.full_rary_tree(r, n)
