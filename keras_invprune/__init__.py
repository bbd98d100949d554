"""Data-driven pruning for Keras 3: prune for the invariances in your data."""

__version__ = "0.1.0"

from keras_invprune import allocation
from keras_invprune import callbacks
from keras_invprune import objectives
from keras_invprune import patterns
from keras_invprune import schedules
from keras_invprune import scores
from keras_invprune import views
from keras_invprune.consistency import consistency
from keras_invprune.export import ExportError
from keras_invprune.export import export
from keras_invprune.masked import Masked
from keras_invprune.model import PrunedModel
from keras_invprune.objectives import Invariance
from keras_invprune.pruning import prune
from keras_invprune.pruning import prune_for_invariance
from keras_invprune.pruning import strip_pruning

__all__ = [
    "ExportError",
    "Invariance",
    "Masked",
    "PrunedModel",
    "allocation",
    "callbacks",
    "consistency",
    "export",
    "objectives",
    "patterns",
    "prune",
    "prune_for_invariance",
    "schedules",
    "scores",
    "strip_pruning",
    "views",
]
