"""The scores by name. Each file of this folder adds its own."""

from collections.abc import Callable
from typing import Any

import keras

KNOWN: dict[str, Any] = {}
"""``{name: class or function}``."""


def known_as(name: str) -> Callable:
    """Return a decorator that registers a score by a name and for saved models.

    Args:
        name: Its name in `prune(score=...)`, recipes and the command line. A class
            that is decorated must need no arguments.
    """

    def add(score: Any) -> Any:
        register = keras.saving.register_keras_serializable(package="keras_invprune")
        KNOWN[name] = register(score)
        return score

    return add
