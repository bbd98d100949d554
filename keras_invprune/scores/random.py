"""Random scores, the control that every method must beat."""

import keras
import numpy as np

from keras_invprune.saving import Configured


@keras.saving.register_keras_serializable(package="keras_invprune")
class Random(Configured):
    """Uniform random scores; weights already pruned stay pruned.

    Args:
        seed: Integer. The same seed gives the same scores at every update, so
            that masks along a schedule nest.

    Example:
        >>> scores = Random(seed=0)({"kernel": np.array([[1.0, 0.0]])}, model=None)
        >>> scores["kernel"] > 0
        array([[ True, False]])
    """

    def __init__(self, seed=0):
        self.seed = seed

    def __call__(self, weights, model):
        """Returns ``{key: array}`` with values in (0, 1], zero where w is zero."""
        del model
        generator = np.random.default_rng(self.seed)
        return {
            key: (1.0 - generator.random(weight.shape, np.float32)) * (weight != 0)
            for key, weight in weights.items()
        }
