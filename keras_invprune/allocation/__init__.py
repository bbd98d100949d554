"""Allocations decide how many weights each tensor keeps. Each has its own file.

An allocation is any callable `(scores, sparsity) -> masks` from {key: scores} to
{key: boolean mask of the same shape}, where True means kept.
"""

import numpy as np

from keras_invprune.allocation._known import ALLOCATIONS as ALLOCATIONS
from keras_invprune.allocation._known import get
from keras_invprune.allocation.budget import Budget
from keras_invprune.allocation.class_distributed import class_distributed
from keras_invprune.allocation.erk import erk
from keras_invprune.allocation.global_topk import global_topk
from keras_invprune.allocation.lamp import lamp
from keras_invprune.allocation.per_layer import PerLayer
from keras_invprune.allocation.relational import Relational
from keras_invprune.allocation.shuffled import Shuffled
from keras_invprune.allocation.uniform import uniform
from keras_invprune.masks.selection import Masks


def collapsed(masks: Masks) -> list[str]:
    """Return the keys of the tensors that keep no weights, so that no signal passes.

    Args:
        masks: Key to boolean mask.

    Returns:
        Keys in the order of `masks`.

    Example:
        >>> collapsed(global_topk({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5))
        ['a']
    """
    return [key for key, mask in masks.items() if not np.any(mask)]


__all__ = [
    "Budget",
    "PerLayer",
    "Relational",
    "Shuffled",
    "class_distributed",
    "collapsed",
    "erk",
    "get",
    "global_topk",
    "lamp",
    "uniform",
]
