"""SET: connections move at random."""

from keras_invprune.contracts import Arrays, Score, ScoreContext
from keras_invprune.scores._known import known_as
from keras_invprune.scores._rewiring import chances, check_fraction, moved


@known_as("set")
class SparseEvolution(Score):
    """Drops the connections of the smallest magnitude, grows as many at random.

    With ``schedule=Rewire(...)`` and ``allocation="erk"``; the first masks are random.
    What grows begins at zero. Under a pattern blocks or units move.

    Args:
        fraction: ζ, the share of a weight's connections to move at each renewal.
        seed: Integer, of all masks.

    Source:
        Mocanu et al. 2018, Scalable training of artificial neural networks with
        adaptive sparse connectivity (1707.04780), algorithm 1; there ζ stays, which
        ``Rewire(..., decays=False)`` has; by default it decays as RigL's.
    """

    rewires = True
    suits = {"schedule": "rewire", "allocation": "erk"}

    def __init__(self, fraction: float = 0.3, seed: int = 0):
        self.fraction = check_fraction(fraction)
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: array}``; low scores are pruned first."""
        chance = chances(weights, self.seed, context.step)
        if not context.moving:
            return chance
        return moved(weights, chance, self.fraction * context.decay, context)
