"""Learning objectives of the search, before pruning. Each has its own file.

An objective is any callable ``(model, x, y, sample_weight) -> loss, predictions``, or
one that returns `Losses`. `model` is the `PrunedModel`: ``model(x, training=True)`` is
a forward pass through the masks, and ``model.compute_loss(...)`` is the compiled loss.
`keras_invprune.contracts.Objective` lists its optional members.
"""

from keras_invprune.objectives._known import get
from keras_invprune.objectives.contrastive import contrastive_loss
from keras_invprune.objectives.distillation import Distillation
from keras_invprune.objectives.invariance import Invariance
from keras_invprune.objectives.losses import Losses

__all__ = ["Distillation", "Invariance", "Losses", "contrastive_loss", "get"]
