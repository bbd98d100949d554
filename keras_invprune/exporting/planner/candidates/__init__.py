"""The kinds of files that are tried, one file for each family, found by itself.

A family adds `Candidate`s to its list ``CANDIDATES``.
"""

import importlib
import pkgutil

from keras_invprune.exporting.planner.candidates._base import (
    TFLITE,
    Candidate,
    NotTried,
    Source,
)

CANDIDATES: list[Candidate] = []
for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        _family = importlib.import_module(f"{__name__}.{_module.name}")
        CANDIDATES += _family.CANDIDATES

__all__ = ["CANDIDATES", "TFLITE", "Candidate", "NotTried", "Source"]
