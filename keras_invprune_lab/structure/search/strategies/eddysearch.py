"""The genetic search of the authors' group."""

from __future__ import annotations

import itertools
import math

from keras_invprune_lab.structure.search.operators import crossed, mutated
from keras_invprune_lab.structure.search.strategies._base import (
    Proposal,
    Strategy,
    changed,
    fill,
    known_as,
    random_proposal,
)


@known_as("eddysearch")
class EddySearch(Strategy):
    """Crosses the best in all pairs, drops the worst, and refills.

    With k = ⌈population / 10⌉, a generation drops the k² worst of the population. It
    adds a cross of each pair of the k best, and then, by a coin toss each, a mutation
    of a random member or a random graph.

    Source:
        The class GeneticSearch of github.com/innvariant/eddysearch (J. Stier), which
        leaves crossing and mutation to its user. Ours are in `operators`. The search of
        2107.12917 was not published.
    """

    def __init__(self, plan):
        super().__init__(plan)
        self.best = math.ceil(plan.population / 10)
        self.members: dict[str, float] = {}

    @property
    def wanted(self) -> int:
        """Number of graphs of each generation but the first: as many as are dropped."""
        return self.best**2

    def trained(self, generation):
        """Let a generation join the population, and drop the worst."""
        self.members |= {one.key: one.accuracy for one in generation}
        kept = sorted(self.members, key=lambda key: -self.members[key])
        stays = max(self.best, self.plan.population - self.best**2)
        self.members = {key: self.members[key] for key in kept[:stays]}

    def candidates(self, scored, count, random) -> list[Proposal]:
        """Return crosses of the best, mutations and random graphs."""
        made: dict[str, Proposal] = {}
        members, bounds = list(self.members), self.plan.bounds
        for pair in itertools.combinations(members[: self.best], 2):
            room = min(count, len(made) + 1)
            fill(made, room, scored, lambda p=pair: changed(crossed, p, bounds, random))

        def refill():
            if random.random() < 0.5:
                return random_proposal(bounds, random)
            parent = members[random.integers(len(members))]
            return changed(mutated, (parent,), bounds, random)

        fill(made, count, scored, refill)
        return list(made.values())
