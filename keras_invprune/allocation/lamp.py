"""LAMP: layer-adaptive sparsity from magnitudes alone."""

import keras
import numpy as np

from keras_invprune.allocation.global_topk import global_topk
from keras_invprune.masks.selection import Masks, Scores


@keras.saving.register_keras_serializable(package="keras_invprune")
def lamp(scores: Scores, sparsity: float) -> Masks:
    """Keep the largest LAMP scores: s² over the sum of s² that survive in the tensor.

    Args:
        scores: Key to scores s of any shape; LAMP itself uses magnitudes. Negative
            scores are pruned first, in one ranking over all tensors.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape. Every tensor with a positive score
        keeps at least one weight, provided that more weights are kept than there are
        tensors.

    Example:
        >>> masks = lamp({"a": np.array([1, 2]), "b": np.array([30, 40])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False,  True]), array([False,  True]))

    Source:
        Lee et al. 2021, Layer-adaptive sparsity for the magnitude-based pruning
        (2010.07611), the "LAMP score".
    """
    return global_topk({key: _lamp(values) for key, values in scores.items()}, sparsity)


def _lamp(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    squares = np.ravel(np.maximum(values, 0.0) ** 2)
    order = np.argsort(squares, kind="stable")
    # Σ_{v ≥ u} W[v]²
    surviving = np.empty_like(squares)
    surviving[order] = np.cumsum(squares[order][::-1])[::-1]
    shares = np.divide(
        squares, surviving, out=np.zeros_like(squares), where=squares != 0
    )
    return np.where(values < 0, values, shares.reshape(values.shape))
