"""The priors by name, and what several of them check."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_invprune.arguments import is_integer, is_number
from keras_invprune.priors._libraries import networkx

KNOWN: dict[str, Callable] = {}
"""``{name: function}``. Each file of this folder adds its own."""

MAX_EDGES = 5_000_000
"""The largest number of edges of a graph that is made: networkx takes about half a
kilobyte for each."""
TRIES = 100
"""How many graphs to draw until one is connected."""
MAX_DRAWN = 10_000_000
"""After how many edges of such graphs to give up, which takes about half a minute."""


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
    fits = is_integer(value) if whole else is_number(value)
    if fits and low <= value <= high:
        return
    kind = "an integer" if whole else "a number"
    ends = f"of at least {low}" if high == float("inf") else f"in [{low}, {high}]"
    raise ValueError(f"`{name}` must be {kind} {ends}. Received: {name}={value!r}.")


def check_edges(edges: float, received: str):
    """Raise ValueError if a graph would have more edges than fit into memory.

    Args:
        edges: Their expected number.
        received: What to tell of the parameters.
    """
    if edges > MAX_EDGES:
        raise ValueError(
            f"A graph can have at most {MAX_EDGES:,} edges, since networkx takes about "
            f"half a kilobyte for each. Received: {received}, which make about "
            f"{edges:,.0f}. Use fewer nodes, or fewer edges of each."
        )


def connected(draw: Callable, seed: int, advice: str) -> Any:
    """Return the first connected graph among those of successive seeds.

    Args:
        draw: ``seed -> networkx.Graph``.
        seed: The seed of all.
        advice: What to change if there is none.

    Raises:
        ValueError: If there is none.
    """
    is_connected, tries, drawn = networkx().is_connected, 0, 0
    for number in np.random.SeedSequence(seed).generate_state(TRIES):
        graph = draw(int(number))
        if is_connected(graph):
            return graph
        tries, drawn = tries + 1, drawn + graph.number_of_edges()
        if drawn > MAX_DRAWN:
            break
    raise ValueError(f"None of {tries} graphs that were drawn is connected. {advice}")
