"""Finds the best file of a model: makes all that make sense, runs and measures them."""

from keras_invprune.exporting.planner.planning import plan
from keras_invprune.exporting.planner.result import Planned
from keras_invprune.exporting.planner.row import Row, Run
from keras_invprune.exporting.planner.target import TARGETS, FileBudget, Target

__all__ = ["TARGETS", "FileBudget", "Planned", "Row", "Run", "Target", "plan"]
