"""Recurrent networks on Reber strings, pruned in one shot and trained again.

A folder holds ``config.json``, ``pruned.csv`` with one row for each test, a plot of
them, the weights of each network before pruning, and, while networks are unfinished,
the tests of each and the state of its training after its last epoch. A network whose
weights are not there is trained again, with all its copies, unless none is missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import keras

from keras_invprune.arguments import check_seed
from keras_invprune.exporting.folders import local
from keras_invprune.saving import named
from keras_invprune_lab.models.recurrent import CELLS, PARTS
from keras_invprune_lab.runs.configuration import held
from keras_invprune_lab.structure.pruning import plots, table
from keras_invprune_lab.structure.pruning.networks import (
    BATCH,
    CLIP,
    RATE,
    pruned,
    retrained,
    tested,
    trained,
)
from keras_invprune_lab.structure.pruning.table import UNPRUNED
from keras_invprune_lab.structure.reber import DATASET, SEED, check_strings, strings
from keras_invprune_lab.structure.workers import carry_out

LEVELS = tuple(range(10, 101, 10))
SAFE = {"rnn-tanh": 80, "rnn-relu": 70, "gru": 80, "lstm": 60}
"""What the paper calls safe: percent of both parts."""
PLOT = "recovery.png"
RETRAIN = 10
"""Epochs after pruning."""


@dataclasses.dataclass(frozen=True)
class Campaign:
    """What is trained and pruned.

    Networks have three recurrent layers of 50 units. Of the kernels that read the layer
    below, of those that read the previous step, or of both, the smallest weights of all
    layers together are removed in one shot. Each copy is tested, trained further under
    the same masks, and tested after each epoch.

    Attributes:
        cells: Names in `CELLS`.
        seeds: Each kind of cell is trained from each.
        safe: Whether to prune only by what the paper calls safe, and hidden to hidden
            entirely, with one epoch of recovery. Otherwise, all three parts are pruned
            at ten levels, with ten epochs.
        dataset: Reber strings.
        epochs: Of the training before pruning.

    Raises:
        ValueError: If there is no such cell or data set, if none is named, if `epochs`
            is not above 0, or if a seed is not an integer of at least 0.

    Source:
        Stier et al. 2021 (2107.12917): Adam of rate 0.001 with gradients of a norm of
        at most 5, batches of 32. After pruning, the optimizer is a new one.
    """

    cells: tuple[str, ...] = tuple(CELLS)
    seeds: tuple[int, ...] = (0, 1, 2)
    safe: bool = False
    dataset: str = DATASET
    epochs: int = 50

    def __post_init__(self):
        """Check all values."""
        for cell in self.cells:
            named(cell, CELLS, "cell")
        for seed in self.seeds:
            check_seed(seed)
        if not self.cells or not self.seeds:
            raise ValueError(
                "Name a cell and a seed. Received: "
                f"cells={self.cells}, seeds={self.seeds}."
            )
        check_strings(self.dataset)
        if self.epochs < 1:
            raise ValueError(f"`epochs` must be at least 1. Received: {self.epochs}.")

    @property
    def config(self) -> dict:
        """What all rows of a table have in common, as JSON has it."""
        own = {"dataset": self.dataset, "data_seed": SEED, "epochs": self.epochs}
        own |= {"padded_to": "the longest string of a batch", "weights": "uniform"}
        return own | {"batch_size": BATCH, "learning_rate": RATE, "clipnorm": CLIP}

    def copies(self, cell: str) -> list[tuple[str, int, int]]:
        """Return (part, percent, epochs of recovery) of a network and its copies."""
        unpruned = [(UNPRUNED, 0, 0)]
        if self.safe:
            return [*unpruned, ("both", SAFE[cell], 1), ("hidden_to_hidden", 100, 1)]
        return unpruned + [(part, level, RETRAIN) for part in PARTS for level in LEVELS]


@dataclasses.dataclass(frozen=True)
class Task:
    """A network of one kind and seed, and its pruned copies.

    Attributes:
        cell: Its kind.
        seed: Of its training, and of the order of rows in the recovery.
        campaign: The `Campaign`.
        folder: Where its weights are kept, and its tests until all are done.
        rows: Of the table that earlier runs have written.
    """

    cell: str
    seed: int
    campaign: Campaign
    folder: Path
    rows: list[dict]

    @property
    def name(self) -> str:
        """What progress is shown under."""
        return f"{self.cell}, seed {self.seed}"

    @property
    def copies(self) -> list[tuple[str, int, int]]:
        """(Part, percent, epochs of recovery) of the network and its copies."""
        return self.campaign.copies(self.cell)

    @property
    def cost(self) -> int:
        """All epochs."""
        return self.campaign.epochs + sum(recovery for *_, recovery in self.copies)

    @property
    def own(self) -> Path:
        """File of its tests, until all are in the table."""
        return self.folder / f"{self.cell}-{self.seed}.csv"

    @property
    def done(self) -> bool:
        """Whether the table has all tests."""
        found = table.grouped(self.rows, table.copy_of)
        return all(_has(found, *copy) for copy in self.copies)

    def __call__(self, show: Callable[[int, int], None]) -> list[dict]:
        """Train, prune, retrain; return all rows, of earlier runs as well."""
        data = strings(self.campaign.dataset)
        weights = self.own.with_suffix(".weights.h5")
        # The rows of another training would not be those of this network's copies.
        rows = table.read(self.own) or self.rows if weights.exists() else []
        found = table.grouped(rows, table.copy_of)
        shown = partial(show, total=self.cost)
        shown(0)
        epochs = self.campaign.epochs
        model = trained(self.cell, self.seed, weights, data, epochs, shown)
        for part, percent, recovery in self.copies:
            if not _has(found, part, percent, recovery):
                tests = self._recovery(model, part, percent, recovery, data)
                found[part, percent] = list(tests)
                table.write(found, self.own)
            epochs += recovery
            shown(epochs)
        return [row for tests in found.values() for row in tests]

    def clean(self):
        """Remove its tests, once they are in the table; later runs read its weights."""
        self.own.unlink(missing_ok=True)

    def _recovery(self, model, part, percent, recovery, data):
        """Yield the tests of a copy: at once, and after each epoch of recovery."""
        keras.utils.set_random_seed(self.seed)
        copy = model if part == UNPRUNED else pruned(model, part, percent)
        for epoch in range(recovery + 1):
            if epoch:
                retrained(copy, data)
            test = self.cell, self.seed, part, percent, epoch, tested(copy, data)
            yield dict(zip(table.FIELDS, test, strict=True))


def _has(found, part, percent, recovery) -> bool:
    """Return whether a copy has been tested after each epoch of its recovery."""
    return len(found.get((part, percent), ())) > recovery


def prune(campaign: Campaign, out: str | Path, jobs: int = 1, progress=None) -> Path:
    """Train and prune what the table lacks, draw it; return the file of the table.

    Args:
        campaign: The `Campaign`. A table may get more cells, seeds and levels later.
        out: Folder of the table.
        jobs: Networks at once, each in a process of its own with one thread.
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
    with held(campaign.config, folder, (table.TABLE,), read) as rows:
        found = table.grouped(rows, table.network_of)
        tasks = [
            Task(cell, seed, campaign, folder, found.get((cell, seed), []))
            for seed in dict.fromkeys(campaign.seeds)
            for cell in dict.fromkeys(campaign.cells)
        ]

        def finished(task, rows):
            found[task.cell, task.seed] = rows
            table.write(dict(sorted(found.items())), file)
            task.clean()

        left = [task for task in tasks if not task.done]
        carry_out(left, jobs, finished, progress)
        rows = chain.from_iterable(found.values())
        plots.recovery(rows).savefig(folder / PLOT, dpi=120)
    return file
