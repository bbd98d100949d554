"""Random search: what every other strategy has to beat."""

from __future__ import annotations

from keras_invprune_lab.structure.search.strategies._base import (
    Proposal,
    Strategy,
    fill,
    known_as,
    random_proposal,
)


@known_as("random")
class RandomSearch(Strategy):
    """Draws every graph by itself."""

    def candidates(self, scored, count, random) -> list[Proposal]:
        """Return random graphs."""
        made: dict[str, Proposal] = {}
        fill(made, count, scored, lambda: random_proposal(self.plan.bounds, random))
        return list(made.values())
