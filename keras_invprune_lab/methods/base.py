"""What a method is asked: what it varies over, what it needs, how it trains."""

import abc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from keras_invprune_lab.data import Data

METHODS: dict[str, "Method"] = {}
"""``{name: method}``, to which each file of this folder adds its own."""

# The keys of a recipe that say which rows there are, and what is chosen by.
DATA = {"vary_split", "validation", "encoding", "select"}


class Work(NamedTuple):
    """What a method trains with.

    Attributes:
        job: `Job`.
        data: `Data` with validation rows.
        root: Folder of all runs; what the job needs is finished there.
        part: Folder of this unfinished run.
        show: ``show(done, total)``, called after each epoch.
    """

    job: Any
    data: Data
    root: Path
    part: Path
    show: Callable

    @property
    def needed(self) -> Path:
        """Folder of the run that this one needs."""
        return self.root / self.job.needs.name


class Trained(NamedTuple):
    """What came out of a run.

    Attributes:
        found: What the report says of it.
        history: The logs of each epoch.
    """

    found: dict
    history: list[dict]


@dataclass(frozen=True)
class Method(abc.ABC):
    """What is compared, one file each. A file that adds to `METHODS` is all it takes.

    Attributes:
        title: What tables call it.
        control_of: The method that it is a control of: it varies over the same grid,
            gets the point chosen for that method, and may need its run.
        in_one_fit: ``(model, run) -> model``: what `keras-invprune run` trains in one
            `fit` for a `runs.run.Run`; None if the method is not for that command.
        pruned: Whether it is asked for a compression.
        search: Objective of the search that it starts from; None without one.
        settings: The keys that it adds to recipes, a `Part`; None for none.
        ends_early: Whether its epochs are a maximum; `about` says when it ends.
        keeps: Files of the unfinished run that stay with its report.
        state: The one of them that other runs start from; None for none.
    """

    title: str
    control_of: str | None = field(default=None, kw_only=True)
    in_one_fit: Callable | None = field(default=None, kw_only=True)

    pruned = True
    search = None
    settings = None
    ends_early = False
    keeps = ()
    state = None

    @abc.abstractmethod
    def train(self, work: Work) -> Trained:
        """Train from the last saved state, choose by validation rows, test once."""

    def uses(self, job) -> set[str]:
        """Return the keys of a recipe that the result of a job depends on."""
        del job
        return DATA

    def grid(self, recipe) -> list[dict]:
        """Return the points to choose from, each some attributes of `Job`."""
        return METHODS[self.control_of].grid(recipe) if self.control_of else [{}]

    def needs(self, job):
        """Return the `Job` that must be finished first, or None."""
        name = self.control_of
        return name and replace(job, method=name, objective=METHODS[name].search)

    def epochs(self, recipe) -> int:
        """Return the epochs that it trains for."""
        return recipe.search_epochs + recipe.finetune_epochs

    def epochs_before(self, recipe) -> int:
        """Return the epochs of the search that it starts from."""
        return recipe.search_epochs if self.search else 0

    def passes(self, job) -> int:
        """Return how many batches go through the network at a step."""
        del job
        return 1

    def about(self, recipe) -> str:
        """Return what a page should say of its setup beyond the recipe's."""
        del recipe
        return ""


def of_all(show: Callable, before: int, total: int, done: int, _: int):
    """Show the epochs of a phase as some of all."""
    show(before + done, total)
