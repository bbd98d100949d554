"""Learning objectives of the search, before pruning. One file each.

An objective is any callable ``(model, x, y, sample_weight) -> loss, predictions``,
or one that returns `Losses`. `model` is the `PrunedModel`: ``model(x,
training=True)`` is a forward pass through the masks and ``model.compute_loss(...)``
the compiled loss. Optional members: `keras_invprune.contracts.Objective`.
"""

from collections.abc import Callable

from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.invariance import Invariance
from keras_invprune.objectives.losses import Losses
from keras_invprune.saving import resolve

OBJECTIVES = {"invariance": Invariance, "supervised": lambda: None}


def get(identifier: str | Callable | None):
    """Returns the objective; None, the compiled loss alone, for "supervised"."""
    if identifier is None:
        return None
    found = resolve(identifier, OBJECTIVES, "objective")
    return found() if isinstance(identifier, str) else found


__all__ = ["Invariance", "Losses", "contrastive_loss", "get"]
