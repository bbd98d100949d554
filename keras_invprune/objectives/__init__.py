"""Learning objectives of the search, before pruning. Each has its own file.

An objective is any callable ``(model, x, y, sample_weight) -> loss, predictions``, or
one that returns `Losses`. `model` is the `PrunedModel`: ``model(x, training=True)`` is
a forward pass through the masks, and ``model.compute_loss(...)`` is the compiled loss.
`keras_invprune.contracts.Objective` lists its optional members.
"""

from collections.abc import Callable

from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.invariance import Invariance
from keras_invprune.objectives.losses import Losses
from keras_invprune.saving import resolve

OBJECTIVES = {"invariance": Invariance, "supervised": lambda: None}


def get(identifier: str | Callable | None):
    """Return the objective of this name, or the callable itself.

    "supervised" and None mean the compiled loss alone, for which it returns None.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
        TypeError: If `identifier` is none of these, or is a class.
    """
    if identifier is None:
        return None
    found = resolve(identifier, OBJECTIVES, "objective")
    return found() if isinstance(identifier, str) else found


__all__ = ["Invariance", "Losses", "contrastive_loss", "get"]
