"""One ranking of scores that are divided by the standard deviation of their tensor."""

import keras
import numpy as np

from keras_invprune.allocation.global_topk import global_topk
from keras_invprune.masks.selection import Masks, Scores


@keras.saving.register_keras_serializable(package="keras_invprune")
def class_distributed(scores: Scores, sparsity: float) -> Masks:
    """Prune below the same multiple of the standard deviation in each tensor.

    The deviation is the root mean square of the scores. For magnitudes, this is the
    standard deviation of the weights about zero, where removed ones count as zeros.

    Args:
        scores: Key to scores of any shape, not negative.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape. Scaling all scores of a tensor does
        not change how many weights it keeps.

    Example:
        >>> scores = {"a": np.array([1, 2]), "b": np.array([30, 40])}
        >>> masks = class_distributed(scores, 0.5)
        >>> masks["a"], masks["b"]
        (array([False,  True]), array([False,  True]))

    Source:
        See, Luong and Manning 2016, Compression of neural machine translation models
        via pruning (1606.09274), "class-distribution". "Class distributed"
        in 2107.12917, whose code takes the deviation about the mean.
    """
    # s / σ
    return global_topk(
        {key: s / (_deviation(s) or 1.0) for key, s in scores.items()}, sparsity
    )


def _deviation(scores: np.ndarray) -> float:
    return (
        float(np.sqrt(np.mean(np.square(scores, dtype=np.float64))))
        if scores.size
        else 0.0
    )
