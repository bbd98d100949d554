"""Which points are better in everything: fronts of points whose figures should be high.

DEAP's NSGA-II draws from Python's global generator and wants its own classes around
each graph, which is more code than these functions.
"""

from __future__ import annotations

import numpy as np


def ranks(points: np.ndarray) -> np.ndarray:
    """Return the front of each point: 0 if no other is better, 1 without those, ...

    A point is better than another if no figure is lower and one is higher.

    Args:
        points: [points, figures].

    Returns:
        int [points].

    Source:
        Deb et al. 2002, NSGA-II, section III A.
    """
    no_lower = (points[:, None] >= points[None]).all(axis=2)
    higher = (points[:, None] > points[None]).any(axis=2)
    better = no_lower & higher
    found = np.full(len(points), -1)
    number = 0
    while (found < 0).any():
        left = found < 0
        beaten = (better & left[:, None]).any(axis=0)
        found[left & ~beaten] = number
        number += 1
    return found


def crowding(points: np.ndarray, fronts: np.ndarray) -> np.ndarray:
    """Return how far the neighbors of each point on its front are apart.

    It is the sum over figures of the distance between the next lower and the next
    higher one, divided by the range of the front, and infinite at the ends.

    Args:
        points: [points, figures].
        fronts: The front of each point, int [points].

    Source:
        Deb et al. 2002, NSGA-II, section III B.
    """
    found = np.zeros(len(points))
    for number in np.unique(fronts):
        rows = np.flatnonzero(fronts == number)
        for column in points[rows].T:
            order = np.argsort(column, kind="stable")
            values, place = column[order], rows[order]
            found[place[[0, -1]]] = np.inf
            scale = values[-1] - values[0]
            if scale > 0:
                found[place[1:-1]] += (values[2:] - values[:-2]) / scale
    return found
