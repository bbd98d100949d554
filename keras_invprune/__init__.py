"""Data-driven pruning for Keras 3: prune for the invariances in your data."""

__version__ = "0.1.0"

from keras_invprune import (
    allocation,
    callbacks,
    objectives,
    patterns,
    schedules,
    scores,
    views,
)
from keras_invprune.board import PruningBoard
from keras_invprune.consistency import consistency
from keras_invprune.export import ExportError, export
from keras_invprune.masked import Masked
from keras_invprune.model import PrunedModel
from keras_invprune.objectives import Invariance
from keras_invprune.pruning import prune, prune_for_invariance, strip_pruning
from keras_invprune.report import Report, compare, report
from keras_invprune.tangent import neural_tangent_transfer, tangent_kernel

__all__ = [
    "ExportError",
    "Invariance",
    "Masked",
    "PrunedModel",
    "PruningBoard",
    "Report",
    "allocation",
    "callbacks",
    "compare",
    "consistency",
    "export",
    "neural_tangent_transfer",
    "objectives",
    "patterns",
    "prune",
    "prune_for_invariance",
    "report",
    "schedules",
    "scores",
    "strip_pruning",
    "tangent_kernel",
    "views",
]
