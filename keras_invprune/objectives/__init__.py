"""Learning objectives of the search, before pruning. One file each.

An objective is any callable ``(model, x, y, sample_weight) -> loss, predictions``,
or one that returns `Losses`. `model` is the `PrunedModel`: ``model(x,
training=True)`` is a forward pass through the masks and ``model.compute_loss(...)``
the compiled loss. Three optional members:

- ``bind(model) -> objective``: called once with the plain Keras model, to check and
  prepare; returns what serves this model alone.
- ``layers``: Keras layers that belong to the objective: trained and saved with the
  model, dropped by `strip_pruning`.
- ``terms``: names of the values it logs.
"""

from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.invariance import Invariance
from keras_invprune.objectives.losses import Losses
from keras_invprune.saving import resolve

OBJECTIVES = {"invariance": Invariance, "supervised": lambda: None}


def get(identifier):
    """Returns the objective; None, the compiled loss alone, for "supervised"."""
    if identifier is None:
        return None
    found = resolve(identifier, OBJECTIVES, "objective")
    return found() if isinstance(identifier, str) else found


__all__ = ["Invariance", "Losses", "contrastive_loss", "get"]
