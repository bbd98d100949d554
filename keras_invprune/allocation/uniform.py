"""The same sparsity in each tensor."""

import keras

from keras_invprune.masks.selection import Masks, Scores, keep_count, keep_largest


@keras.saving.register_keras_serializable(package="keras_invprune")
def uniform(scores: Scores, sparsity: float) -> Masks:
    """Prune the same share of each tensor, with TF-MOT's rounding: "class uniform".

    Args:
        scores: Key to scores of any shape, compared within a tensor only.
        sparsity: Share of each tensor's weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape, with at least one weight kept.

    Example:
        >>> masks = uniform({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False,  True]), array([False,  True]))

    Source:
        See, Luong and Manning 2016, Compression of neural machine translation models
        via pruning (1606.09274), "class-uniform"; also 2107.12917.
    """
    return {
        key: keep_largest({key: values}, keep_count(values.size, sparsity))[key]
        for key, values in scores.items()
    }
