"""Scores: how much each weight matters. One file each.

A score is any callable ``(weights, model) -> {key: array}``: `weights` maps keys to
NumPy arrays of the stored weights, `model` is the `PrunedModel`. Low scores are pruned
first. Ours are objects of the class `keras_invprune.contracts.Score`, which says what a
score may need beyond that. A file in this folder that decorates its score by
``known_as(name)`` is all that a new one takes.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_invprune.contracts import Score, ScoreContext
from keras_invprune.saving import resolve
from keras_invprune.scores._known import KNOWN

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

SCORES: dict[str, Callable] = {
    name: kind() if isinstance(kind, type) else kind for name, kind in KNOWN.items()
}
__doc__ += f"\nBy name: {', '.join(sorted(SCORES))}.\n"
globals().update({kind.__name__: kind for kind in KNOWN.values()})

__all__ = ["Score", "ScoreContext", "get"]
__all__ += [kind.__name__ for kind in KNOWN.values()]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Stands for the scores, which are found when this is run."""


def get(identifier: str | Callable) -> Callable:
    """Returns the score of that name, or the callable given.

    Raises:
        ValueError: If the name is unknown; near matches are named.
        TypeError: If it is neither a name nor a callable.
    """
    return resolve(identifier, SCORES, "score")
