"""SET: connections move at random."""

import keras
import numpy as np

from keras_invprune.saving import Configured
from keras_invprune.scores._gradients import check_keras_3
from keras_invprune.scores._rewiring import check_fraction, moved, share_at


@keras.saving.register_keras_serializable(package="keras_invprune")
class SparseEvolution(Configured):
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

    rewires = True  # needs a schedule that asks again

    def __init__(self, fraction=0.3, seed=0):
        self.fraction = check_fraction(fraction)
        self.seed = seed

    def __call__(self, weights, model):
        """Returns ``{key: array}``; low scores are pruned first."""
        check_keras_3(model)
        generator = np.random.default_rng([self.seed, model.step])
        chance = {k: generator.random(w.shape, np.float32) for k, w in weights.items()}
        if not model.finished:
            return chance
        return moved(weights, chance, share_at(model, self.fraction), model)
