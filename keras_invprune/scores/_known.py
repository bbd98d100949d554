"""The scores by name, which each file of this room adds to."""

from collections.abc import Callable
from typing import Any

import keras

KNOWN: dict[str, Any] = {}
"""``{name: class or function}``."""


def known_as(name: str) -> Callable:
    """Decorates a score: known by a name, and saved with models.

    Args:
        name: What `prune(score=...)`, recipes and the command line call it. A class
            can be made without arguments.
    """

    def add(score):
        register = keras.saving.register_keras_serializable(package="keras_invprune")
        KNOWN[name] = register(score)
        return score

    return add
