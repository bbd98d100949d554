"""Exact surgery: a smaller model with the same outputs.

`compact` removes channels. A rule (`compaction.rules`) says how the channels of a
layer's inputs, outputs and weights correspond. Constants go forward through the calls,
needs go backward, and what is tied stays or goes together. Then the model is made again
from smaller layers. `merge` joins layers between which the activation is the identity.
"""

from keras_invprune.compaction.compact import compact, plan
from keras_invprune.compaction.merge import (
    Certificate,
    Kept,
    Merge,
    NeverNegative,
    Nonnegative,
    Slope,
)
from keras_invprune.compaction.plan import Change, Plan, WallNote
from keras_invprune.compaction.surgery import CompactionError

__all__ = [
    "Certificate",
    "Change",
    "CompactionError",
    "Kept",
    "Merge",
    "NeverNegative",
    "Nonnegative",
    "Plan",
    "Slope",
    "WallNote",
    "compact",
    "plan",
]
