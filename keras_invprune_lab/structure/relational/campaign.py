"""Networks under the masks of graph2nn's graphs, trained; and the order of the graphs.

A folder holds ``config.json``, ``relational.csv`` with one row for each training, and
``order.csv`` and ``order.png`` with what those of the last command say. The first graph
is the complete one. Each of the others is the one furthest from all before it, in
clustering C and path length L, both scaled to [0, 1]. So more graphs do not change the
first ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_invprune.exporting.folders import local
from keras_invprune_lab.runs.configuration import held
from keras_invprune_lab.structure.relational.images import (
    DATASET,
    IMAGES,
    PIXELS,
    cropped,
    images,
)
from keras_invprune_lab.structure.relational.known import Known, check, chosen, known
from keras_invprune_lab.structure.relational.networks import (
    DECAY,
    FIRST,
    LAYERS,
    MOMENTUM,
    RATE,
    network,
    width_for,
)
from keras_invprune_lab.structure.relational.order import authors_figures, our_figures
from keras_invprune_lab.structure.relational.plots import draw
from keras_invprune_lab.structure.workers import carry_out
from keras_invprune_lab.training.files import read_csv, write_csv

TABLE, ORDER, PLOT = "relational.csv", "order.csv", "order.png"
FIELDS = (
    "graph",
    "clustering",
    "path_length",
    "width",
    "images",
    "epochs",
    "seed",
    "test_accuracy",
    "authors_accuracy",
)
BATCH, TESTED = 128, 1000


@dataclasses.dataclass(frozen=True)
class Campaign:
    """What is trained.

    Attributes:
        graphs: Number of graphs.
        seeds: Trainings of each graph: 0, 1, ...
        images: To train with, the first of CIFAR-10.
        epochs: Of each training; the authors have 200.

    Raises:
        ValueError: If a number is not above 0, if there are fewer than two graphs, or
            if there are not so many images.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559): SGD with
        Nesterov's momentum 0.9, a rate of 0.1 that falls along a cosine, after each
        epoch, and a decay of 0.0005; batches of 128; images cropped and flipped.
    """

    graphs: int = 24
    seeds: int = 2
    images: int = IMAGES
    epochs: int = 4

    def __post_init__(self):
        """Check all values."""
        least = {"graphs": 2, "seeds": 1, "images": 1, "epochs": 1}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(
                    f"`{name}` must be at least {number}. Received: "
                    f"{getattr(self, name)}."
                )
        if self.images > IMAGES:
            raise ValueError(
                f"There are {IMAGES:,} images to train with. Received: "
                f"images={self.images}."
            )

    @property
    def config(self) -> dict:
        """What all rows of a table have in common, as JSON has it."""
        own = {"dataset": DATASET, "units": FIRST, "layers": LAYERS}
        own |= {"batch_size": BATCH, "learning_rate": RATE, "momentum": MOMENTUM}
        return own | {"weight_decay": DECAY}


@dataclasses.dataclass(frozen=True)
class Task:
    """The training of one graph, width and seed.

    Attributes:
        graph: Whose masks the network has.
        width: Units of the layers under masks.
        campaign: The `Campaign`.
        seed: Of weights, the order of rows and the crops.
    """

    graph: Known
    width: int
    campaign: Campaign
    seed: int

    @property
    def name(self) -> str:
        """What its progress is shown under."""
        return f"{self.graph.name}, seed {self.seed}"

    @property
    def cost(self) -> int:
        """What it takes, compared with others: masked weights are computed as well."""
        inner = self.width * (FIRST + (LAYERS - 1) * self.width)
        steps = self.campaign.images * self.campaign.epochs
        return steps * (2 * PIXELS * FIRST + 3 * inner)

    def __call__(self, show: Callable[[int, int], None]) -> dict:
        """Train; return the row of the table."""
        windows, classes, *test = images()
        rows, epochs = self.campaign.images, self.campaign.epochs
        keras.utils.set_random_seed(self.seed)
        model = network(self.graph.name, self.width)
        show(0, epochs)
        for epoch in range(epochs):
            rate = RATE * (1 + np.cos(np.pi * epoch / epochs)) / 2
            model.optimizer.learning_rate = rate
            x = cropped(windows[:rows], self.seed, epoch)
            model.fit(x, classes[:rows], BATCH, verbose=0)
            show(epoch + 1, epochs)
        _, share = model.evaluate(*test, TESTED, verbose=0)
        keras.backend.clear_session()
        about = (self.graph.name, self.graph.clustering, self.graph.path, self.width)
        authors = round(float(np.mean(self.graph.accuracies)), 3)
        values = (*about, rows, epochs, self.seed, round(100 * share, 2), authors)
        return dict(zip(FIELDS, values, strict=True))


def training_of(row: dict) -> tuple[str, int, int, int]:
    """Return (graph, images, epochs, seed) of a row of the table."""
    return row["graph"], int(row["images"]), int(row["epochs"]), int(row["seed"])


def train(
    campaign: Campaign, tables: Path, out: str | Path, jobs: int = 1, progress=None
) -> list[dict]:
    """Train what the table lacks; return, write and draw the figures of the order.

    Those of the authors alone are written before anything is trained.

    Args:
        campaign: The `Campaign`. A table may get more graphs and seeds later, also with
            other numbers of images and epochs.
        tables: Folder of graph2nn's three files.
        out: Folder of the results.
        jobs: Trainings at once, each in a process of its own with one thread.
        progress: ``progress(costs)``, a context manager that yields
            ``show(name, done, total)``; None shows nothing.

    Raises:
        OSError: If `out` is of another configuration, holds files of others or is in
            use, or cannot be written. Or if a file of graph2nn is missing.
        ValueError: If the table in `out` is not one of ours, if those of graph2nn do
            not fit together, or if there are not so many graphs.
    """
    folder = local(out)
    graphs = chosen(known(Path(tables)), campaign.graphs)
    for graph in graphs:
        check(graph)
    with held(campaign.config, folder, (TABLE,), partial(_read, folder)) as found:
        authors = authors_figures(graphs)
        write_csv(folder / ORDER, authors)
        size = campaign.images, campaign.epochs
        tasks = [
            Task(graph, width_for(graph.name), campaign, seed)
            for seed in range(campaign.seeds)
            for graph in graphs
            if (graph.name, *size, seed) not in found
        ]

        def finished(task, row):
            found[training_of(row)] = row
            write_csv(folder / TABLE, found.values(), FIELDS)

        carry_out(tasks, jobs, finished, progress)
        seeds = range(campaign.seeds)
        rows = [[found[one.name, *size, seed] for seed in seeds] for one in graphs]
        ours = [[float(row["test_accuracy"]) for row in own] for own in rows]
        order = [*authors, *our_figures(graphs, np.array(ours))]
        write_csv(folder / ORDER, order)
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        draw(figure, chain.from_iterable(rows))
        figure.savefig(folder / PLOT, dpi=120)
    return order


def _read(folder) -> dict[tuple, dict]:
    """Return ``{training: row}`` of the table in a folder."""
    rows = read_csv(folder / TABLE, [FIELDS], "relational graphs")
    return {training_of(row): row for row in rows}
