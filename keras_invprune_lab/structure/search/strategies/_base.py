"""What a strategy is: from the evaluations so far to the next candidates."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping

import networkx as nx
import numpy as np

from keras_invprune_lab.structure.search.genome import (
    TRIES,
    Bounds,
    RefusedError,
    drawn,
    graph_from,
    key_of,
)

STRATEGIES: dict[str, type[Strategy]] = {}
"""``{name: class}``. Each file of this folder adds its own."""


def known_as(name: str) -> Callable:
    """Return a decorator that registers a strategy by a name."""

    def add(kind):
        STRATEGIES[name] = kind
        return kind

    return add


@dataclasses.dataclass(frozen=True)
class Scored:
    """A graph that was trained.

    Attributes:
        key: Which graph it is, see `genome.key_of`.
        accuracy: Share of the validation rows, in [0, 1]; the mean of all repeats.
        macs: Multiply-accumulate operations for one image.
    """

    key: str
    accuracy: float
    macs: int


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A graph that may be trained next.

    Attributes:
        key: Which graph it is, see `genome.key_of`.
        origin: How it was made: "random", or the name of an operator.
        parents: The keys of the graphs that it was made of.
        predicted: Its predicted accuracy, if a predictor was asked.
    """

    key: str
    origin: str
    parents: tuple[str, ...] = ()
    predicted: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The sizes of a search.

    Attributes:
        bounds: Which graphs are valid.
        population: Number of the first graphs, and of those that are kept.
        generation: Number of graphs that are trained before the next decision.
    """

    bounds: Bounds
    population: int
    generation: int


class Strategy(abc.ABC):
    """Decides which graphs are trained next.

    It sees whole generations, in the order in which they were decided, whatever the
    order in which their trainings ended. All its chance comes from a generator that it
    is given for each generation. So the same evaluations lead to the same decisions.

    Args:
        plan: The sizes of the search.
    """

    def __init__(self, plan: Plan):
        self.plan = plan

    @property
    def wanted(self) -> int:
        """Number of graphs of each generation but the first."""
        return self.plan.generation

    @abc.abstractmethod
    def candidates(
        self, scored: Mapping[str, Scored], count: int, random: np.random.Generator
    ) -> list[Proposal]:
        """Return graphs that were not trained yet.

        Args:
            scored: ``{key: Scored}`` of all that were trained, in their order.
            count: Number of the candidates; there may be fewer if no more are found.
            random: Where all chance comes from.
        """

    def trained(self, generation: Iterable[Scored]):
        """Note the graphs of a generation, which were trained."""
        del generation


def fill(
    made: dict[str, Proposal],
    count: int,
    known: Mapping[str, Scored],
    propose: Callable[[], Proposal],
):
    """Add new proposals until there are enough, or until none is found in many tries.

    Args:
        made: ``{key: Proposal}`` to add to.
        count: How many there should be.
        known: Graphs that are not new.
        propose: Returns a proposal, or raises `RefusedError`.
    """
    failed = 0
    while len(made) < count and failed < TRIES:
        try:
            new = propose()
        except RefusedError:
            failed += 1
            continue
        if new.key in known or new.key in made:
            failed += 1
        else:
            failed = 0
            made[new.key] = new


def random_proposal(bounds: Bounds, random: np.random.Generator) -> Proposal:
    """Return a random graph."""
    return Proposal(key_of(drawn(bounds, random)), "random")


def changed(
    operator: Callable[..., tuple[nx.DiGraph, str]],
    parents: tuple[str, ...],
    bounds: Bounds,
    random: np.random.Generator,
) -> Proposal:
    """Return what `operators.mutated` or `operators.crossed` makes of some graphs."""
    graphs = [graph_from(key) for key in parents]
    graph, name = operator(*graphs, bounds, random)
    return Proposal(key_of(graph), name, parents)
