"""Our genetic search: parents by accuracy and cost at once."""

from __future__ import annotations

import numpy as np

from keras_invprune_lab.structure.search.operators import crossed, mutated
from keras_invprune_lab.structure.search.pareto import crowding, ranks
from keras_invprune_lab.structure.search.strategies._base import (
    Proposal,
    Strategy,
    changed,
    fill,
    known_as,
)

CROSSED = 0.3
"""Share of the offspring that have two parents."""


@known_as("pareto")
class Pareto(Strategy):
    """Mutates and crosses graphs that are accurate for what they cost.

    Of all graphs so far, the population is chosen by NSGA-II: by the front of accuracy
    against MACs that a graph is on, and on the last front by its distance to others.
    Of two random members, the better one in this sense becomes a parent.

    Source:
        Deb et al. 2002, A fast and elitist multiobjective genetic algorithm: NSGA-II,
        section III.
    """

    def candidates(self, scored, count, random) -> list[Proposal]:
        """Return mutations and crosses of the population."""
        every = list(scored.values())
        points = np.array([(one.accuracy, -one.macs) for one in every])
        front = ranks(points)
        # By front, then the most distant first; equal ones in the order of training.
        order = np.lexsort((-crowding(points, front), front))
        members = [every[i].key for i in order[: self.plan.population]]

        def parent():
            return members[min(random.integers(len(members), size=2))]

        def offspring():
            if random.random() >= CROSSED:
                return changed(mutated, (parent(),), self.plan.bounds, random)
            pair = parent(), parent()
            return changed(crossed, pair, self.plan.bounds, random)

        made: dict[str, Proposal] = {}
        fill(made, count, scored, offspring)
        return list(made.values())
