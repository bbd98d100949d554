"""The magnitude of a weight."""

import numpy as np

from keras_invprune.contracts import Arrays, tells
from keras_invprune.scores._known import known_as


@known_as("magnitude")
@tells(rewires=False)
def magnitude(weights: Arrays, model: object) -> Arrays:
    """Return ``|w|``, the score of IUNet, OMP and TF-MOT.

    Args:
        weights: ``{key: array}``, the stored weights.
        model: Unused.

    Returns:
        ``{key: array}`` of the same shapes; low scores are pruned first.

    Example:
        >>> magnitude({"dense/kernel": np.array([[-2.0, 0.5]])}, model=None)
        {'dense/kernel': array([[2. , 0.5]])}

    Source:
        Han et al. 2015 (1506.02626), section 3.1.
    """
    del model
    return {key: np.abs(weight) for key, weight in weights.items()}
