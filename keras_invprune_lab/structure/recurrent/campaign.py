"""Many random graphs, made into recurrent networks and trained: a table of accuracies.

A folder holds ``config.json``, ``trained.csv`` with one row for each training, and,
while stacks are unfinished, the state of each after its last epoch. A stack that was
begun for fewer graphs or seeds can be resumed by asking for these again, until one of
its rows is in the table. Then its state is removed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from keras_invprune.exporting.folders import local
from keras_invprune.priors import features
from keras_invprune.saving import named
from keras_invprune_lab.runs.configuration import held
from keras_invprune_lab.structure.prediction.proxies import PROXIES
from keras_invprune_lab.structure.reber import DATASET, SEED, check_strings, strings
from keras_invprune_lab.structure.recurrent import states, table
from keras_invprune_lab.structure.recurrent.cells import CELLS
from keras_invprune_lab.structure.recurrent.networks import (
    FEWEST,
    LETTERS,
    MOST,
    Drawn,
    Members,
    Networks,
    numbers,
    stacks,
)
from keras_invprune_lab.structure.recurrent.stack import Stack
from keras_invprune_lab.structure.recurrent.training import BATCH, Training
from keras_invprune_lab.structure.workers import carry_out


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
    dataset: str = DATASET
    epochs: int = 15

    def __post_init__(self):
        """Check all values."""
        named(self.cell, CELLS, "cell")
        check_strings(self.dataset)
        for name in ("graphs", "seeds", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. Received: {getattr(self, name)}."
                )

    @property
    def config(self) -> dict:
        """What all rows of a table have in common, as JSON has it."""
        own = {"dataset": self.dataset, "epochs": self.epochs, "batch_size": BATCH}
        own |= {"padded_to": "the longest string of a batch"}
        return own | {"data_seed": SEED, "nodes": [FEWEST, MOST]}

    def trainings(self) -> list[tuple[Drawn, int]]:
        """Return all trainings: (graph, seed)."""
        graphs = [Drawn(number) for number in range(self.graphs)]
        return [(graph, seed) for seed in range(self.seeds) for graph in graphs]


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
        found = self.networks.scores(strings(self.dataset))
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
    def members(self) -> Members:
        """(Number of a graph, seed) of each network."""
        return self.networks.members

    @property
    def cost(self) -> float:
        """What its training takes, compared with others."""
        return self.networks.cost

    @property
    def state(self) -> Path:
        """File of the state after the last epoch."""
        return states.file_of(self.folder, self.campaign.cell, self.members)

    def __call__(self, show: Callable[[int, int], None]) -> list[dict]:
        """Train from the last state on; return the rows of the table."""
        networks, campaign = self.networks, self.campaign
        data = strings(campaign.dataset)
        scores = networks.scores(data)
        graphs = networks.graphs
        stack = Stack([graph.layers for graph in graphs], campaign.cell, LETTERS)
        x = numbers(data.x_train)
        training = Training(stack, networks.weights(), x, data.y_train)
        self._train(training, len(x), show)
        accuracies = training.accuracy(numbers(data.x_test), data.y_test)
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
        first, epochs = states.restore(self.state, training), self.campaign.epochs
        whose = self.campaign.cell, self.members
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
            states.save(self.state, *whose, epoch + 1, training)
            show(epoch + 1, epochs)


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
            network = Drawn(table.number_of(row)), int(row["seed"])
            by_cell.setdefault(row["cell"], []).append(network)
    return [
        Scoring(networks, dataset)
        for cell, lacking in by_cell.items()
        for networks in stacks(cell, lacking)
    ]


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
        OSError: If `out` is of another configuration, holds files of others or is in
            use, or cannot be written.
        ValueError: If the table in `out` is not one of ours.
    """
    folder = local(out)
    file = folder / table.TABLE
    read = partial(table.read, file)
    with held(campaign.config, folder, (table.TABLE,), read) as found:
        rows = {table.key_of(row): row for row in found}
        states.drop_unfinished(folder)
        states.drop_useless(folder, rows)
        lacking = scorings(rows.values(), campaign.dataset)
        left = [*lacking, *tasks(campaign, folder, rows)]

        def finished(task, new):
            for row in new:
                key = table.key_of(row)
                rows[key] = rows.get(key, {}) | row
            table.write(list(rows.values()), file)
            task.clean()
            states.drop_useless(folder, map(table.key_of, new))

        carry_out(left, jobs, finished, progress)
    return file
