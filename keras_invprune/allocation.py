"""Where the sparsity goes: how many weights each tensor keeps.

An allocation is any callable `(scores, sparsity) -> masks` from {key: scores} to
{key: boolean mask of the same shape}, where True is kept.
"""

from collections.abc import Callable

import keras
import numpy as np

from keras_invprune.identifiers import resolve
from keras_invprune.selection import Masks, Scores, keep_count, keep_largest

__all__ = ["collapsed", "get", "global_topk", "uniform"]

Allocation = Callable[[Scores, float], Masks]


@keras.saving.register_keras_serializable(package="keras_invprune")
def global_topk(scores: Scores, sparsity: float) -> Masks:
    """One ranking over all tensors: the largest scores stay, wherever they are.

    Args:
        scores: Key to scores of any shape, comparable between tensors.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape. A tensor may lose every weight;
        `collapsed` names those.

    Example:
        >>> masks = global_topk({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False, False]), array([ True,  True]))
        >>> collapsed(masks)
        ['a']
    """
    size = sum(values.size for values in scores.values())
    # Together, tensors are soon too large for float32 to count; up to there it makes
    # a single tensor keep as many weights as under `uniform`.
    dtype = np.float32 if size <= 2**24 else np.float64
    return keep_largest(scores, keep_count(size, sparsity, dtype))


@keras.saving.register_keras_serializable(package="keras_invprune")
def uniform(scores: Scores, sparsity: float) -> Masks:
    """The same sparsity in each tensor, with TF-MOT's rounding.

    Args:
        scores: Key to scores of any shape, compared within a tensor only.
        sparsity: Share of each tensor's weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape, with at least one weight kept.

    Example:
        >>> masks = uniform({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False,  True]), array([False,  True]))
    """
    return {
        key: keep_largest({key: values}, keep_count(values.size, sparsity))[key]
        for key, values in scores.items()
    }


def collapsed(masks: Masks) -> list[str]:
    """The keys of the tensors that keep nothing, so that no signal passes.

    Args:
        masks: Key to boolean mask.

    Returns:
        Keys in the order of `masks`.
    """
    return [key for key, mask in masks.items() if not np.any(mask)]


ALLOCATIONS = {"global": global_topk, "uniform": uniform}


def get(identifier: str | Allocation) -> Allocation:
    """An allocation from its name, or the callable itself.

    Args:
        identifier: "global", "uniform", or a callable `(scores, sparsity) -> masks`.

    Raises:
        ValueError: An unknown name; near matches are named.
        TypeError: Neither a name nor a callable.
    """
    return resolve(identifier, ALLOCATIONS, "allocation")
