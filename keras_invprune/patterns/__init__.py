"""Patterns decide which weights are pruned together: blocks, units, n of every m.

A pattern is any callable ``(scores, sparsity, allocation) -> masks``. It may have the
optional members of `keras_invprune.contracts.Pattern`.
"""

import keras

from keras_invprune.contracts import PatternLike
from keras_invprune.patterns.base import Pattern
from keras_invprune.patterns.block import Block
from keras_invprune.patterns.n_by_m import NByM
from keras_invprune.patterns.units import Units
from keras_invprune.patterns.unstructured import Unstructured
from keras_invprune.saving import resolve

OTHER = "an object such as NByM(2, 4) or Block((4, 1)), or a callable"
PATTERNS = {"unstructured": Unstructured(), "units": Units()}


def get(identifier: str | dict | PatternLike | None) -> PatternLike:
    """Return the pattern of this name or config, or the callable itself.

    Args:
        identifier: None (unstructured), a name in `PATTERNS`, the config of a pattern,
            or a callable.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `identifier` is none of these, or is a class.
    """
    if isinstance(identifier, dict):
        saved = keras.saving.deserialize_keras_object(identifier)
        return resolve(saved, PATTERNS, "pattern")
    return resolve(identifier or "unstructured", PATTERNS, "pattern", OTHER)


__all__ = ["Block", "NByM", "Pattern", "Units", "Unstructured", "get"]
