"""Scores say how much each weight matters. Each has its own file.

A score is any callable ``(weights, model) -> {key: array}``. `weights` maps keys to
NumPy arrays of the stored weights; `model` is the `PrunedModel`. Low scores are pruned
first. Our scores are objects of the class `keras_invprune.contracts.Score`, which
defines what else a score may need. To add a score, add a file to this folder that
decorates the score with ``known_as(name)``.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from keras_invprune.contracts import Score, ScoreContext, ScoreLike
from keras_invprune.saving import resolve
from keras_invprune.scores._known import KNOWN

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

SCORES: dict[str, ScoreLike] = {
    name: kind() if isinstance(kind, type) else kind for name, kind in KNOWN.items()
}
__doc__ += f"\nBy name: {', '.join(sorted(SCORES))}.\n"
globals().update({kind.__name__: kind for kind in KNOWN.values()})

__all__ = ["Score", "ScoreContext", "get"]
__all__ += [kind.__name__ for kind in KNOWN.values()]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Declare the scores, which are found at run time."""


def get(identifier: str | ScoreLike) -> ScoreLike:
    """Return the score of this name, or the callable itself.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
        TypeError: If `identifier` is neither a name nor a callable.
    """
    return resolve(identifier, SCORES, "score")
