"""The priors by name, and what several of them check."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_invprune.priors._libraries import networkx

KNOWN: dict[str, Callable] = {}
"""``{name: function}``. Each file of this folder adds its own."""

TRIES = 100
"""How many graphs to draw until one is connected."""


def known_as(name: str) -> Callable:
    """Return a decorator that registers a prior by a name."""

    def add(prior):
        KNOWN[name] = prior
        return prior

    return add


def check_number(name: str, value: Any, low: float, high: float, whole: bool = True):
    """Raise ValueError unless a parameter is a number between two others.

    Args:
        name: The name of the parameter.
        value: What was received.
        low: The smallest allowed value.
        high: The largest allowed value.
        whole: Whether it must be an integer.
    """
    fits = isinstance(value, numbers.Integral if whole else numbers.Real)
    if fits and not isinstance(value, bool) and low <= value <= high:
        return
    kind = "an integer" if whole else "a number"
    ends = f"of at least {low}" if high == float("inf") else f"in [{low}, {high}]"
    raise ValueError(f"`{name}` must be {kind} {ends}. Received: {name}={value!r}.")


def connected(draw: Callable, seed: int, advice: str) -> Any:
    """Return the first connected graph among those of successive seeds.

    Args:
        draw: ``seed -> networkx.Graph``.
        seed: The seed of all.
        advice: What to change if there is none.

    Raises:
        ValueError: If there is none.
    """
    is_connected = networkx().is_connected
    for number in np.random.SeedSequence(seed).generate_state(TRIES):
        graph = draw(int(number))
        if is_connected(graph):
            return graph
    raise ValueError(f"None of {TRIES} graphs that were drawn is connected. {advice}")
