"""Data-driven pruning for Keras 3: prune for the invariances in your data."""

__version__ = "0.2.0"

from keras_invprune import (
    allocation,
    callbacks,
    compaction,
    objectives,
    patterns,
    priors,
    proximal,
    schedules,
    scores,
    views,
)
from keras_invprune.compaction import compact
from keras_invprune.compaction.merge import Merged, MergeError, merge_layers
from keras_invprune.exporting.errors import ExportError
from keras_invprune.exporting.export import Exported, export
from keras_invprune.exporting.planner import FileBudget, Planned, Target
from keras_invprune.graph.active import active_layers
from keras_invprune.objectives import Distillation, Invariance
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.pack import Packed, pack, unpack
from keras_invprune.pruning.invariance import prune_for_invariance
from keras_invprune.pruning.layer_path import LayerPath, layer_path
from keras_invprune.pruning.masked import Masked
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.pruning.prune import prune, strip_pruning
from keras_invprune.pruning.tangent import (
    TransferSettings,
    neural_tangent_transfer,
    tangent_kernel,
)
from keras_invprune.reporting import latency  # noqa: F401 - a runtime of budgets
from keras_invprune.reporting.consistency import consistency
from keras_invprune.reporting.report import Report, compare, report
from keras_invprune.reporting.savings import Savings, estimate_savings
from keras_invprune.reporting.tensorboard import PruningBoard

__all__ = [
    "Distillation",
    "ExportError",
    "Exported",
    "FileBudget",
    "Invariance",
    "LayerPath",
    "Masked",
    "MergeError",
    "Merged",
    "PackError",
    "Packed",
    "PrunedModel",
    "Planned",
    "PruningBoard",
    "Report",
    "Savings",
    "Target",
    "TransferSettings",
    "active_layers",
    "allocation",
    "callbacks",
    "compact",
    "compaction",
    "compare",
    "consistency",
    "estimate_savings",
    "export",
    "layer_path",
    "merge_layers",
    "neural_tangent_transfer",
    "objectives",
    "pack",
    "patterns",
    "priors",
    "proximal",
    "prune",
    "prune_for_invariance",
    "report",
    "schedules",
    "scores",
    "strip_pruning",
    "tangent_kernel",
    "unpack",
    "views",
]
