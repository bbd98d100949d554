"""Exact surgery on plain models."""

from keras_invprune.compaction import merge

__all__ = ["merge"]
