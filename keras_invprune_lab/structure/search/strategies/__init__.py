"""Strategies by name, one file each, found by themselves."""

import importlib
import pkgutil

from keras_invprune.saving import named
from keras_invprune_lab.structure.search.strategies._base import (
    STRATEGIES,
    Plan,
    Proposal,
    Scored,
    Strategy,
    fill,
    random_proposal,
)

SCREENED = "screened-"
"""Before the name of a strategy: a predictor chooses among many of its candidates."""

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")


def check_strategy(name: str) -> str:
    """Return the name of a strategy, screened or not.

    Raises:
        ValueError: If there is none; the message lists similar names.
    """
    every = [*STRATEGIES, *(f"{SCREENED}{name}" for name in STRATEGIES)]
    named(name, dict.fromkeys(every), "strategy")
    return name


def strategy_of(name: str) -> type[Strategy]:
    """Return the class of a strategy, screened or not."""
    return STRATEGIES[name.removeprefix(SCREENED)]


__all__ = [
    "SCREENED",
    "STRATEGIES",
    "Plan",
    "Proposal",
    "Scored",
    "Strategy",
    "check_strategy",
    "fill",
    "random_proposal",
    "strategy_of",
]
