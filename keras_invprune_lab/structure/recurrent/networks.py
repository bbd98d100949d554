"""Random graphs as recurrent networks, dealt to stacks of equal depth."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import networkx as nx
import numpy as np

from keras_invprune.priors import Layered, layered, make
from keras_invprune_lab import data as datasets
from keras_invprune_lab.structure.prediction.proxies import ROWS
from keras_invprune_lab.structure.recurrent.scoring import cheap_scores
from keras_invprune_lab.structure.recurrent.stack import Weights, drawn
from keras_invprune_lab.structure.recurrent.table import KEYS

FEWEST, MOST = 10, 50  # nodes
PRIORS = ("watts-strogatz", "barabasi-albert")  # in turn
TOGETHER = 16  # networks of a stack, whose memory grows with them
LETTERS = 27  # A to Z, and 0 for the zeros at the end
Members = tuple[tuple[int, int], ...]
"""(Number of a graph, seed) of each network of a stack."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A random graph.

    Attributes:
        number: Its number, which decides its prior, its nodes and its edges.
    """

    number: int

    @property
    def prior(self) -> str:
        """The prior, in turn."""
        return PRIORS[self.number % len(PRIORS)]

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.prior}-{self.number}"

    @cached_property
    def graph(self) -> nx.Graph:
        """The graph; it does not depend on the seed of a training."""
        nodes = random.Random(self.number).randint(FEWEST, MOST)
        return make(self.prior, seed=self.number, n=nodes)

    @cached_property
    def layers(self) -> Layered:
        """The graph in layers."""
        return layered(self.graph)


@dataclasses.dataclass(frozen=True)
class Networks:
    """Networks of one cell whose graphs have the same number of layers.

    Attributes:
        cell: A name in `CELLS`.
        members: (number of a graph, seed) of each network.
        depth: Number of layers of all of them.
    """

    cell: str
    members: Members
    depth: int

    @property
    def name(self) -> str:
        """What progress is shown under, the same for the same members."""
        code = code_of(self.cell, self.members)
        return f"{len(self.members)} networks of {self.depth} layers, {code}"

    @property
    def cost(self) -> float:
        """What their training takes, compared with others."""
        return float(len(self.members) * self.depth**1.5)

    @property
    def graphs(self) -> list[Drawn]:
        """The graph of each."""
        return [Drawn(number) for number, _ in self.members]

    def keys(self) -> list[dict]:
        """Return what names each in the table."""
        return [
            dict(zip(KEYS, (g.name, g.prior, self.cell, seed), strict=True))
            for g, (_, seed) in zip(self.graphs, self.members, strict=True)
        ]

    def weights(self) -> list[Weights]:
        """Return the weights before training, which depend on graph and seed alone."""
        return [
            drawn(graph.layers, self.cell, LETTERS, [seed, graph.number])
            for graph, (_, seed) in zip(self.graphs, self.members, strict=True)
        ]

    def scores(self, data: datasets.Data) -> list[dict[str, float]]:
        """Return the cheap scores of each before training."""
        x, y = numbers(data.x_train[:ROWS]), data.y_train[:ROWS]
        layers = [graph.layers for graph in self.graphs]
        return cheap_scores(layers, self.cell, LETTERS, self.weights(), x, y)


def stacks(
    cell: str,
    trainings: Iterable[tuple[Drawn, int]],
    is_left: Callable[[Drawn, int], bool] = lambda graph, seed: True,
) -> list[Networks]:
    """Return networks in stacks of at most `TOGETHER`, the longest to train first.

    Args:
        cell: A name in `CELLS`.
        trainings: (graph, seed) of all that are dealt to stacks.
        is_left: ``(graph, seed)``, which of them stay in their stacks.
    """
    by_depth: dict[int, list] = {}
    for graph, seed in trainings:
        members = by_depth.setdefault(len(graph.layers.nodes), [])
        members.append((len(graph.graph), graph, seed))
    found = []
    for depth, members in by_depth.items():
        # Networks of similar size need less padding.
        members.sort(key=lambda member: (member[0], member[1].number, member[2]))
        for part in _parts(members):
            left = [(g.number, seed) for _, g, seed in part if is_left(g, seed)]
            if left:
                found.append(Networks(cell, tuple(left), depth))
    return sorted(found, key=lambda networks: -networks.cost)


def _parts(members) -> Iterator[list]:
    """Yield parts of about equal size, of at most `TOGETHER`."""
    count = -(-len(members) // TOGETHER)
    ends = [len(members) * index // count for index in range(count + 1)]
    for start, end in zip(ends, ends[1:], strict=False):
        yield members[start:end]


def code_of(cell: str, members: Members) -> str:
    """Return what tells the stack of some networks from others."""
    return f"{zlib.crc32(repr((cell, members)).encode()):08x}"


def numbers(codes) -> np.ndarray:
    """Return 1 to 26 for the codes of A to Z, and 0 for 0."""
    return np.where(codes > 0, codes - (ord("A") - 1), 0)
