"""Single weights."""

import dataclasses
from collections.abc import Mapping

import keras

from keras_invprune.contracts import Arrays
from keras_invprune.patterns.base import Pattern


@keras.saving.register_keras_serializable(package="keras_invprune")
@dataclasses.dataclass(frozen=True)
class Unstructured(Pattern):
    """Single weights: the masks are those of the allocation."""

    def group(self, scores: Arrays) -> Arrays:
        """Return the scores."""
        return scores

    def expand(self, masks: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return the masks."""
        del shapes
        return masks
