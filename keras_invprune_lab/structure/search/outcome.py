"""What a search has found: its front, its best so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_invprune_lab.structure.search.engine import Step
from keras_invprune_lab.structure.search.pareto import ranks


def best_so_far(steps: Sequence[Step]) -> np.ndarray:
    """Return the best validation accuracy after each graph, [graphs]."""
    return np.maximum.accumulate([step.scored.accuracy for step in steps])


def best_of(steps: Sequence[Step]) -> Step:
    """Return the most accurate graph; of equal ones the cheapest, then the first."""
    return min(steps, key=lambda s: (-s.scored.accuracy, s.scored.macs, s.number))


def area(steps: Sequence[Step]) -> float:
    """Return the mean of the best so far over all graphs: the area under its curve."""
    return float(best_so_far(steps).mean())


def front(steps: Sequence[Step]) -> list[Step]:
    """Return the graphs that no other one beats in accuracy and MACs, cheapest first.

    Of graphs that are equal in both, the first one stays.
    """
    points = np.array([(s.scored.accuracy, -s.scored.macs) for s in steps])
    found = {}
    for row in np.flatnonzero(ranks(points) == 0):
        found.setdefault(tuple(points[row]), steps[row])
    return sorted(found.values(), key=lambda step: step.scored.macs)


def reached(steps: Sequence[Step], accuracy: float) -> int | None:
    """Return after how many graphs the best is at least `accuracy`; None if never."""
    there = np.flatnonzero(best_so_far(steps) >= accuracy)
    return int(there[0]) + 1 if len(there) else None
