"""A run of a benchmark: trains, chooses by validation rows, tests once."""

import shutil
from pathlib import Path
from typing import get_args

import keras
from pydantic import BaseModel

from keras_invprune_lab import data as datasets
from keras_invprune_lab.methods.base import Trained, Work
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs import runner
from keras_invprune_lab.runs.runner import Task

SPLIT_SEED = 1  # of the paper's fixed split


def defaults_of(part) -> dict:
    """Return the defaults of a recipe, or of a part of it, as JSON has them."""
    found = {name: field.default for name, field in part.model_fields.items()}
    return {
        name: value.model_dump() if isinstance(value, BaseModel) else value
        for name, value in found.items()
    }


def execute(job, root, show=lambda *_: None) -> dict:
    """Train, or resume, and report; if that is done, return the report.

    Args:
        job: `Job`; what it needs must have been executed in the same `root`.
        root: Folder of all runs; the job's own appears when all is done.
        show: ``show(done, total)``, called after each epoch.

    Returns:
        The report: ``config``, ``environment``, ``seconds``, ``best_epoch``,
        ``validation`` and ``test`` figures, ``consistency`` on validation rows,
        ``weights`` and ``densities``.

    Raises:
        OSError: If the folder holds something else, or another configuration.
        ValueError: If the data set or model is unknown, or the data do not fit.
    """
    return runner.carry_out(JobTask(job, root), Path(root) / job.name, show)


class JobTask(Task):
    """Carries out a `Job`, as its method says.

    Args:
        job: `Job`.
        root: Folder of all runs.
    """

    schema = "keras_invprune/bench-run/1"
    defaults = defaults_of(Recipe)
    inside = {
        name: defaults_of(part)
        for name, f in Recipe.model_fields.items()
        for part in (f.annotation, *get_args(f.annotation))
        if isinstance(part, type) and issubclass(part, BaseModel)
    }

    def __init__(self, job, root):
        self.job, self.root = job, Path(root)
        self.config, self.state = job.config, job.kind.state

    def prepare(self, part):
        """Load the data; the method makes the network."""
        self.data = load_data(self.job)
        keras.utils.set_random_seed(self.job.seed)

    def train(self, part, show) -> Trained:
        """Train by the method."""
        return self.job.kind.train(Work(self.job, self.data, self.root, part, show))

    def write(self, trained, part, new) -> dict:
        """Keep the files that the method keeps."""
        for name in self.job.kind.keeps:
            shutil.move(part / name, new / name)
        return trained.found


def check_config(job, root):
    """Raise FileExistsError if the run's folder is of another configuration."""
    runner.check_config(JobTask(job, root), Path(root) / job.name)


def is_done(job, root) -> bool:
    """Return whether a run is finished, with the state that others start from."""
    return runner.is_done(Path(root) / job.name, job.kind.state)


def write_failure(job, root, text):
    """Leave what went wrong next to the state of an unfinished run, if it has any."""
    part = runner.part_of(Path(root) / job.name)
    if part.is_dir():
        (part / "error.txt").write_text(text)


def load_data(job) -> datasets.Data:
    """Return the data of a run, with validation rows."""
    recipe = job.recipe
    seed = job.seed if recipe.vary_split else SPLIT_SEED
    return datasets.load(job.dataset, seed, recipe.validation, recipe.encoding)
