"""Random scores, the baseline that every method must beat."""

import numpy as np

from keras_invprune.contracts import Arrays, Score, ScoreContext
from keras_invprune.scores._known import known_as


@known_as("random")
class Random(Score):
    """Uniform random scores. Weights already pruned stay pruned.

    Args:
        seed: Integer. The same seed gives the same scores at every update, so that the
            masks of a schedule are nested.

    Example:
        >>> scores = Random(seed=0)({"kernel": np.array([[1.0, 0.0]])}, model=None)
        >>> scores["kernel"] > 0
        array([[ True, False]])
    """

    def __init__(self, seed: int = 0):
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}`` with values in (0, 1], zero where w is zero."""
        del context
        generator = np.random.default_rng(self.seed)
        return {
            key: (1.0 - generator.random(weight.shape, np.float32)) * (weight != 0)
            for key, weight in weights.items()
        }
