"""Single weights."""

import dataclasses
from collections.abc import Callable

import keras

from keras_invprune.masks.selection import Scores
from keras_invprune.patterns.base import Pattern


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Unstructured(Pattern):
    """Every weight on its own: the masks are the allocation's."""

    def __call__(self, scores: Scores, sparsity: float, allocation: Callable):
        """Returns `allocation(scores, sparsity)`."""
        return allocation(scores, sparsity)
