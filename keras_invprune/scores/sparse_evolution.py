"""SET: connections move at random."""

from keras_invprune.contracts import Arrays, Score, ScoreContext
from keras_invprune.scores._known import known_as
from keras_invprune.scores._rewiring import chances, check_fraction, moved


@known_as("set")
class SparseEvolution(Score):
    """Drops connections of the smallest magnitude and grows as many at random.

    Use it with ``schedule=Rewire(...)`` and ``allocation="erk"``. The first masks are
    random; connections that grow start at zero. Under a pattern, whole blocks or units
    move.

    Args:
        fraction: ζ, the share of a weight's connections to move at each update, in
            (0, 1).
        seed: Integer seed of all masks.

    Source:
        Mocanu et al. 2018, Scalable training of artificial neural networks with
        adaptive sparse connectivity (1707.04780), algorithm 1. There ζ is constant, as
        with ``Rewire(..., decays=False)``; by default it decays as in RigL.
    """

    rewires = True
    suits = {"schedule": "rewire", "allocation": "erk"}

    def __init__(self, fraction: float = 0.3, seed: int = 0):
        self.fraction = check_fraction(fraction)
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        chance = chances(weights, self.seed, context.step)
        if not context.moving:
            return chance
        return moved(weights, chance, self.fraction * context.decay, context)
