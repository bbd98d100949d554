"""Many random graphs, made into recurrent networks and trained: a table of accuracies.

A folder holds ``config.json``, ``trained.csv`` with one row for each training, and,
while stacks are unfinished, the state of each after its last epoch. A stack that was
begun for fewer graphs or seeds can be resumed by asking for these again, until one of
its rows is in the table. Then its state is removed.
"""

from __future__ import annotations

import csv
import dataclasses
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np

from keras_invprune.exporting.folders import claimed, local
from keras_invprune.priors import FEATURES, Layered, features, layered, make
from keras_invprune.saving import UNFINISHED, named, replaced
from keras_invprune_lab import data as datasets
from keras_invprune_lab.runs.configuration import CONFIG, check_same
from keras_invprune_lab.structure.prediction.proxies import PROXIES, ROWS
from keras_invprune_lab.structure.recurrent.cells import CELLS
from keras_invprune_lab.structure.recurrent.scoring import cheap_scores
from keras_invprune_lab.structure.recurrent.stack import Stack, Weights, drawn
from keras_invprune_lab.structure.recurrent.training import BATCH, Training
from keras_invprune_lab.structure.recurrent.workers import carry_out
from keras_invprune_lab.training.files import write_csv, write_json

FEWEST, MOST = 10, 50  # nodes
PRIORS = ("watts-strogatz", "barabasi-albert")  # in turn
TOGETHER = 16  # networks of a stack, whose memory grows with them
LETTERS = 27  # A to Z, and 0 for the zeros at the end
TABLE = "trained.csv"
KEYS = ("graph", "prior", "cell", "seed")
FIGURES = ("parameters", "test_accuracy")
FIELDS = (*KEYS, *FEATURES, *PROXIES, *FIGURES)
WITHOUT_SCORES = (*KEYS, *FEATURES, *FIGURES)
DATA_SEED = 1
STATE = re.compile(rf"({re.escape(UNFINISHED)})?stack-([0-9a-f]{{8}})\.npz")

Show = Callable[[str, int, int], None]


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
class Campaign:
    """What is trained.

    Attributes:
        cell: A name in `CELLS`.
        graphs: Number of graphs, half from each prior; each of n nodes, n uniform in
            [10, 50]. The first graphs stay the same if there are more.
        seeds: Trainings of each graph: 0, 1, ...
        dataset: Reber strings.
        epochs: Of each training.

    Raises:
        ValueError: If there is no such cell or data set, or a number is not above 0.

    Source:
        Stier et al. 2021 (2107.12917) and its authors' code: 100 graphs from each
        prior, 15 epochs.
    """

    cell: str
    graphs: int = 100
    seeds: int = 2
    dataset: str = "reber:25000"
    epochs: int = 15

    def __post_init__(self):
        """Check all values."""
        named(self.cell, CELLS, "cell")
        if not datasets.check_name(self.dataset).startswith("reber:"):
            raise ValueError(
                "The networks read Reber strings. Received: dataset="
                f"{self.dataset!r}. Write 'reber:25000'."
            )
        for name in ("graphs", "seeds", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. Received: {getattr(self, name)}."
                )

    @property
    def config(self) -> dict:
        """What all rows of a table have in common, as JSON has it."""
        own = {"dataset": self.dataset, "epochs": self.epochs, "batch_size": BATCH}
        return own | {"data_seed": DATA_SEED, "nodes": [FEWEST, MOST]}

    def trainings(self) -> list[tuple[Drawn, int]]:
        """Return all trainings: (graph, seed)."""
        graphs = [Drawn(number) for number in range(self.graphs)]
        return [(graph, seed) for seed in range(self.seeds) for graph in graphs]


@dataclasses.dataclass(frozen=True)
class Networks:
    """Networks of one cell whose graphs have the same number of layers.

    Attributes:
        cell: A name in `CELLS`.
        members: (number of a graph, seed) of each network.
        depth: Number of layers of all of them.
    """

    cell: str
    members: tuple[tuple[int, int], ...]
    depth: int

    @property
    def name(self) -> str:
        """What progress is shown under, the same for the same members."""
        code = _code(self.cell, self.members)
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
        x, y = _numbers(data.x_train[:ROWS]), data.y_train[:ROWS]
        layers = [graph.layers for graph in self.graphs]
        return cheap_scores(layers, self.cell, LETTERS, self.weights(), x, y)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Cheap scores of networks whose rows lack them.

    Attributes:
        networks: The networks.
        dataset: Reber strings.
    """

    networks: Networks
    dataset: str

    @property
    def name(self) -> str:
        """What progress is shown under."""
        return f"scores of {self.networks.name}"

    @property
    def cost(self) -> float:
        """What it takes, compared with a training of 15 epochs."""
        return self.networks.cost / 100

    def __call__(self, show: Callable[[int, int], None]) -> list[dict]:
        """Return what the rows lack, with their keys."""
        show(0, 1)
        found = self.networks.scores(datasets.load(self.dataset, DATA_SEED))
        show(1, 1)
        return [
            key | scores
            for key, scores in zip(self.networks.keys(), found, strict=True)
        ]

    def clean(self):
        """Remove nothing: there is no state."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Trainings of one stack.

    Attributes:
        networks: The networks.
        campaign: The `Campaign`.
        folder: Where the state is kept.
    """

    networks: Networks
    campaign: Campaign
    folder: Path

    @property
    def name(self) -> str:
        """What progress is shown under."""
        return self.networks.name

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        """(Number of a graph, seed) of each network."""
        return self.networks.members

    @property
    def cost(self) -> float:
        """What its training takes, compared with others."""
        return self.networks.cost

    @property
    def state(self) -> Path:
        """File of the state after the last epoch."""
        return self.folder / f"stack-{_code(self.campaign.cell, self.members)}.npz"

    def __call__(self, show: Callable[[int, int], None]) -> list[dict]:
        """Train from the last state on; return the rows of the table."""
        networks, campaign = self.networks, self.campaign
        data = datasets.load(campaign.dataset, DATA_SEED)
        scores = networks.scores(data)
        graphs = networks.graphs
        stack = Stack([graph.layers for graph in graphs], campaign.cell, LETTERS)
        x = _numbers(data.x_train)
        training = Training(stack, networks.weights(), x, data.y_train)
        self._train(training, len(x), show)
        accuracies = training.accuracy(_numbers(data.x_test), data.y_test)
        sizes = stack.sizes_by_network()
        return [
            {
                **key,
                **features(graph.graph),
                **own,
                "parameters": size,
                "test_accuracy": float(accuracy),
            }
            for key, graph, own, size, accuracy in zip(
                networks.keys(), graphs, scores, sizes, accuracies, strict=True
            )
        ]

    def clean(self):
        """Remove the state, once the rows are in the table."""
        self.state.unlink(missing_ok=True)

    def _train(self, training, rows, show):
        first, epochs = self._restore(training), self.campaign.epochs
        whose = {"cell": self.campaign.cell, "members": self.members}
        batch = min(BATCH, rows)
        show(first, epochs)
        for epoch in range(first, epochs):
            orders = np.stack(
                [
                    np.random.default_rng([seed, number, epoch]).permutation(rows)
                    for number, seed in self.members
                ]
            )
            for start in range(0, rows - batch + 1, batch):
                training.step(orders[:, start : start + batch])
            with replaced(self.state) as new:
                np.savez(new, epochs=epoch + 1, **whose, **training.state())
            show(epoch + 1, epochs)

    def _restore(self, training) -> int:
        """Load the last state, if there is one; return the epochs it has seen."""
        if not self.state.exists():
            return 0
        with np.load(self.state) as arrays:
            training.restore({name: arrays[name] for name in arrays.files})
            return int(arrays["epochs"])


def _code(cell: str, members: tuple[tuple[int, int], ...]) -> str:
    """Return what tells the stack of some networks from others."""
    return f"{zlib.crc32(repr((cell, members)).encode()):08x}"


def _numbers(codes) -> np.ndarray:
    """Return 1 to 26 for the codes of A to Z, and 0 for 0."""
    return np.where(codes > 0, codes - (ord("A") - 1), 0)


def tasks(campaign: Campaign, folder: Path, done: Iterable[tuple]) -> list[Task]:
    """Return stacks of what is not done yet, the longest first.

    Args:
        campaign: The `Campaign`.
        folder: Where the states are kept.
        done: (name of a graph, cell, seed) of the rows of the table.
    """
    done = set(done)

    def is_left(graph, seed):
        return (graph.name, campaign.cell, seed) not in done

    found = stacks(campaign.cell, campaign.trainings(), is_left)
    return [Task(networks, campaign, folder) for networks in found]


def scorings(rows: Iterable[dict], dataset: str) -> list[Scoring]:
    """Return what rows of a table lack: the cheap scores of their networks.

    Args:
        rows: Of a table.
        dataset: Reber strings, the same for all.
    """
    by_cell: dict[str, list[tuple[Drawn, int]]] = {}
    for row in rows:
        if any(row[name] == "" for name in PROXIES):
            network = Drawn(_number(row)), int(row["seed"])
            by_cell.setdefault(row["cell"], []).append(network)
    return [
        Scoring(networks, dataset)
        for cell, lacking in by_cell.items()
        for networks in stacks(cell, lacking)
    ]


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


def drop_unfinished(folder: Path):
    """Remove states that a kill has left half written; others are still there.

    Args:
        folder: Of the table, in which nothing is trained now.
    """
    for file, is_new, _ in _states(folder):
        if is_new:
            file.unlink()


def drop_useless(folder: Path, done: Iterable[tuple]):
    """Remove the states that no campaign can resume: a part of each is done.

    Args:
        folder: Of the table.
        done: (name of a graph, cell, seed) of the rows of the table.
    """
    done = set(done)
    for file, is_new, code in _states(folder):
        cell, members = ("", ()) if is_new else _whose(file)
        ours = code == _code(cell, members)
        if ours and any((Drawn(g).name, cell, seed) in done for g, seed in members):
            file.unlink()


def _states(folder) -> list[tuple[Path, bool, str]]:
    """Return the files with the names of states: whether half written, and the code."""
    found = [(path, STATE.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    return [(path, bool(name[1]), name[2]) for path, name in found if name]


def _whose(file) -> tuple[str, tuple]:
    """Return the cell and the members of a state; none if it is not one of ours."""
    try:
        with np.load(file) as arrays:
            members = tuple((int(g), int(seed)) for g, seed in arrays["members"])
            return str(arrays["cell"]), members
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile):
        return "", ()


def train(campaign: Campaign, out: str | Path, jobs: int = 1, progress=None) -> Path:
    """Train what the table lacks; return the file of the table.

    Rows that lack cheap scores, of any cell, get them first.

    Args:
        campaign: The `Campaign`. A table may hold several cells, and may get more
            graphs and seeds later.
        out: Folder of the table.
        jobs: Stacks at once, each in a process of its own with one thread.
        progress: ``progress(costs)``, a context manager that yields
            ``show(name, done, total)``; None shows nothing.

    Raises:
        OSError: If `out` is of another configuration or in use, or cannot be written.
        ValueError: If the table in `out` is not one of ours.
    """
    folder = local(out)
    check_same(campaign.config, folder)
    file = folder / TABLE
    read(file)  # refuses one that is not ours before anything is written
    with claimed(folder):
        # What others added in the meantime is read as well.
        rows = {_key(row): row for row in read(file)}
        write_json(folder / CONFIG, campaign.config)
        drop_unfinished(folder)
        drop_useless(folder, rows)
        lacking = scorings(rows.values(), campaign.dataset)
        left = [*lacking, *tasks(campaign, folder, rows)]

        def finished(task, new):
            for row in new:
                rows[_key(row)] = rows.get(_key(row), {}) | row
            write(list(rows.values()), file)
            task.clean()
            drop_useless(folder, map(_key, new))

        carry_out(left, jobs, finished, progress)
    return file


def _key(row) -> tuple[str, str, int]:
    """Return (name of a graph, cell, seed) of a row."""
    return row["graph"], row["cell"], int(row["seed"])


def _number(row) -> int:
    """Return the number of a row's graph."""
    return int(row["graph"].rpartition("-")[2])


def read(file: Path) -> list[dict]:
    """Return the rows of a table; none if there is no such file.

    Cheap scores that it lacks are empty.

    Raises:
        ValueError: If its columns are not ours.
    """
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8") as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) not in (FIELDS, WITHOUT_SCORES):
            raise ValueError(
                f"{file} is no table of trained graphs: its columns are "
                f"{table.fieldnames}. Choose another --out, or remove it."
            )
        return [dict.fromkeys(PROXIES, "") | row for row in table]


def write(rows: list[dict], file: Path):
    """Write the table, by cell, seed and graph; it is complete whenever it is there."""

    def place(row):
        return row["cell"], int(row["seed"]), _number(row)

    write_csv(file, sorted(rows, key=place), FIELDS)
