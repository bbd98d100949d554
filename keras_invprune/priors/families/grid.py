"""Grids: each node has edges with its neighbors in two dimensions."""

import math
from typing import TYPE_CHECKING

from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.families._known import check_edges, check_number, known_as

if TYPE_CHECKING:
    import networkx as nx


@known_as("grid")
def grid(rows: int, columns: int, seed: int = 0) -> "nx.Graph":
    """Return a grid. Its nodes are numbered row by row.

    Args:
        rows: Number of rows, at least 1.
        columns: Number of columns, at least 2.
        seed: Unused; every prior takes it.

    Example:
        >>> sorted(grid(2, 2).edges)
        [(0, 1), (0, 2), (1, 3), (2, 3)]

    Raises:
        ValueError: If a parameter is out of its range, or if there would be too many
            edges.
    """
    del seed
    check_number("rows", rows, 1, math.inf)
    check_number("columns", columns, 2, math.inf)
    edges = rows * (columns - 1) + columns * (rows - 1)
    check_edges(edges, f"rows={rows}, columns={columns}")
    nx = networkx()
    return nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns))
