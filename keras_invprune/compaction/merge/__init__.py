"""Fewer layers with the same outputs: merges layers whose activation does nothing."""

from keras_invprune.compaction.merge.certificates import (
    Certificate,
    NeverNegative,
    Nonnegative,
    Slope,
)
from keras_invprune.compaction.merge.engine import merge_layers
from keras_invprune.compaction.merge.result import Kept, Merge, Merged
from keras_invprune.compaction.merge.verify import MergeError

__all__ = [
    "Certificate",
    "Kept",
    "Merge",
    "MergeError",
    "Merged",
    "NeverNegative",
    "Nonnegative",
    "Slope",
    "merge_layers",
]
