"""One ranking over all tensors."""

import keras
import numpy as np

from keras_invprune.masks.selection import Masks, Scores, keep_count, keep_largest


@keras.saving.register_keras_serializable(package="keras_invprune")
def global_topk(scores: Scores, sparsity: float) -> Masks:
    """Keep the largest scores over all tensors together: "class blinded".

    Args:
        scores: Key to scores of any shape, comparable between tensors.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape. A tensor may lose all its weights;
        `keras_invprune.allocation.collapsed` lists such tensors.

    Example:
        >>> masks = global_topk({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False, False]), array([ True,  True]))

    Source:
        See, Luong and Manning 2016, Compression of neural machine translation models
        via pruning (1606.09274), "class-blind"; "class blinded" in 2107.12917.
    """
    size = sum(values.size for values in scores.values())
    # float32 counts exactly up to 2**24 and keeps as many weights of a single tensor as
    # `uniform` does. All tensors together are often larger.
    dtype = np.float32 if size <= 2**24 else np.float64
    return keep_largest(scores, keep_count(size, sparsity, dtype))
