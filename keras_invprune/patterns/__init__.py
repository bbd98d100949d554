"""Which weights are pruned together: one by one, in blocks, or n of every m.

A pattern is any callable ``(scores, sparsity, allocation) -> masks``, with the optional
members of `keras_invprune.contracts.Pattern`.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_invprune.patterns.base import Pattern
from keras_invprune.patterns.block import Block
from keras_invprune.patterns.n_by_m import NByM
from keras_invprune.patterns.units import Units
from keras_invprune.patterns.unstructured import Unstructured
from keras_invprune.saving import resolve

PATTERNS = {"unstructured": Unstructured(), "units": Units()}


def get(identifier: Any) -> Callable:
    """A pattern from its name or config, or the callable itself.

    Args:
        identifier: None, a name in `PATTERNS`, the config of a pattern, or a
            callable.

    Raises:
        ValueError: An unknown name.
        TypeError: None of these, or a class in place of an object.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    return resolve(identifier or "unstructured", PATTERNS, "pattern")


__all__ = ["Block", "NByM", "Pattern", "Units", "Unstructured", "get"]
