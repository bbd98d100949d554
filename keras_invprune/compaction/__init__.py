"""Exact surgery on plain models."""

from keras_invprune.compaction.merge import (
    Certificate,
    Kept,
    Merge,
    NeverNegative,
    Nonnegative,
    Slope,
)

__all__ = ["Certificate", "Kept", "Merge", "NeverNegative", "Nonnegative", "Slope"]
