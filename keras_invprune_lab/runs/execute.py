"""One run of a benchmark: trains, chooses by validation rows, tests once."""

import json
import shutil
from pathlib import Path

import keras
from pydantic import BaseModel

from keras_invprune_lab import data as datasets
from keras_invprune_lab.methods.base import Work
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs.environment import environment
from keras_invprune_lab.training.resuming import (
    CONFIG,
    check_same,
    timed,
    write_history,
    write_json,
)
from keras_invprune.exporting.folders import (
    REPORT,
    check_free,
    replacing,
    write_report,
)

SCHEMA = "keras_invprune/bench-run/1"
SPLIT_SEED = 1  # of the paper's fixed split


def execute(job, root, show=lambda *_: None) -> dict:
    """Trains, or goes on training, and reports; not twice.

    Args:
        job: `Job`; what it needs must have been executed in the same `root`.
        root: Folder of all runs; the job's own appears when all is done.
        show: ``show(done, total)``, called after each epoch.

    Returns:
        The report: ``config``, ``environment``, ``seconds``, ``best_epoch``,
        ``validation`` and ``test`` figures, ``consistency`` on validation rows,
        ``weights`` and ``densities``.

    Raises:
        OSError: The folder holds something else, or another configuration.
        ValueError: Unknown data set or model, or data that do not fit.
    """
    out = Path(root) / job.name
    part = out.with_name(f"{out.name}.part")
    check_config(job, root)
    if is_done(job, root):
        return json.loads((out / REPORT).read_text())
    if out.exists() and not (out / CONFIG).exists():
        check_free(out)
    data = load_data(job)
    keras.utils.set_random_seed(job.seed)
    part.mkdir(parents=True, exist_ok=True)
    write_json(part / CONFIG, job.config)
    show, seconds = timed(part, show)
    method = job.kind
    found, history = method.train(Work(job, data, Path(root), part, show))
    found = {
        "config": job.config,
        "environment": environment(),
        "seconds": round(seconds(), 1),
        **found,
    }
    if (out / REPORT).exists():  # only the state that others start from was missing
        shutil.move(part / method.state, out / method.state)
        shutil.rmtree(part)
        return json.loads((out / REPORT).read_text())
    with replacing(out) as new:
        write_json(new / CONFIG, job.config)
        write_history(history, new / "history.csv")
        for name in method.keeps:
            shutil.move(part / name, new / name)
        found = write_report(new, SCHEMA, found)
    shutil.rmtree(part)
    return found


def check_config(job, root):
    """Raises FileExistsError where the run's folder is of another configuration."""
    folder = Path(root) / job.name
    known = {
        name: f.default.model_dump() if isinstance(f.default, BaseModel) else f.default
        for name, f in Recipe.model_fields.items()
    }
    for one in (folder, folder.with_name(f"{folder.name}.part")):
        check_same(job.config, one, known)


def is_done(job, root) -> bool:
    """Return whether a run is finished, with the state that others start from."""
    out, state = Path(root) / job.name, job.kind.state
    return (out / REPORT).exists() and (state is None or (out / state).exists())


def write_failure(job, root, text):
    """Leaves what went wrong beside the state of an unfinished run, if it has any."""
    part = Path(root) / f"{job.name}.part"
    if part.is_dir():
        (part / "error.txt").write_text(text)


def load_data(job) -> datasets.Data:
    """The data of a run, with validation rows."""
    recipe = job.recipe
    seed = job.seed if recipe.vary_split else SPLIT_SEED
    return datasets.load(job.dataset, seed, recipe.validation, recipe.encoding)
