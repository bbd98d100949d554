"""Exact surgery: a smaller model with the same outputs.

A rule (`compaction.rules`) says how the channels of a layer's inputs, outputs and
weights correspond. Constants go forward through the calls, needs go backward, and what
is tied stays or goes together. Then the model is made again from smaller layers.
"""

from keras_invprune.compaction.compact import compact, plan
from keras_invprune.compaction.plan import Change, Plan, WallNote
from keras_invprune.compaction.surgery import CompactionError

__all__ = ["Change", "CompactionError", "Plan", "WallNote", "compact", "plan"]
