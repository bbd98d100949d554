"""One run of a benchmark: trains, chooses by validation rows, tests once."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
from pydantic import BaseModel

from keras_invprune_lab import data as datasets
from keras_invprune_lab.methods.xgboost import boost
from keras_invprune_lab.methods.at_init import TRANSFER, prune_now, transferred
from keras_invprune_lab.runs.evaluate import figures, first_filters
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.build import make_network, masked
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.training.loop import (
    Selecting,
    compile_model,
    restarts_of,
    train,
)
from keras_invprune_lab.runs.environment import environment
from keras_invprune_lab.training.resuming import (
    CONFIG,
    STATE,
    check_same,
    state_size,
    timed,
    write_history,
    write_json,
)
from keras_invprune.exporting.folders import (
    REPORT,
    check_free,
    check_room,
    replacing,
    write_report,
)

SCHEMA = "keras_invprune/bench-run/1"
FILTERS = "filters.npz"
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
    found, history = _train(job, root, part, data, show)
    found = {
        "config": job.config,
        "environment": environment(),
        "seconds": round(seconds(), 1),
        **found,
    }
    if (out / REPORT).exists():  # a search, of which only the state was missing
        shutil.move(part / STATE, out / STATE)
        shutil.rmtree(part)
        return json.loads((out / REPORT).read_text())
    with replacing(out) as new:
        write_json(new / CONFIG, job.config)
        write_history(history, new / "history.csv")
        for name in (STATE, FILTERS, TRANSFER):
            if (part / name).exists():
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
    """Whether a run is finished; a search also has the state others go on from."""
    out = Path(root) / job.name
    return (out / REPORT).exists() and (
        job.method != "search" or (out / STATE).exists()
    )


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


def _train(job, root, part, data, show):
    """Figures of a run, and the logs of its epochs."""
    if job.method in METHODS and METHODS[job.method].learner == "xgboost":
        validation, test, chosen = boost(job, part, data, show)
        return {"chosen": chosen, "validation": validation, "test": test}, []
    if job.method == "unpruned":
        search = json.loads((Path(root) / job.needs.name / REPORT).read_text())
        show(1, 1)
        left_out = ("schema", "config", "environment", "seconds", "sha256")
        return {k: v for k, v in search.items() if k not in left_out}, []
    return _train_network(job, root, part, data, show)


def _train_network(job, root, part, data, show):
    recipe = job.recipe
    method = METHODS.get(job.method)
    model = make_network(job, data)
    if method and method.learner == "tangent":
        model = transferred(job, root, model, data, part, show)
    else:
        model = masked(job, root, model, data)
    check_room(part, 6 * state_size(model))
    epochs, final = job.epochs, recipe.finetune_optimizer or recipe.optimizer
    goes_on = bool(job.needs) and job.needs.method == "search"
    searches = goes_on or job.method == "search"
    settings = recipe.optimizer if searches else final
    compile_model(model, recipe, settings, data, epochs, job.penalty)
    if goes_on:
        model.optimizer.build(model.trainable_variables)
        model.load_weights(Path(root) / job.needs.name / STATE)
        model.prune_to(model.plan.sparsity)
        settings = final
        compile_model(model, recipe, settings, data, epochs)
    elif job.compression and not model.finished:
        prune_now(job, model, data)
    selecting = Selecting(
        part,
        data.x_valid,
        data.y_valid,
        recipe.select,
        restarts_of(settings, epochs),
        waits=bool(method and method.schedule),
    )
    searching = job.method == "search" and job.objective == "invariance"
    train(model, job, data, epochs, selecting, show, search=searching)
    if job.method == "search":
        model.save_weights(part / STATE)
    found = figures(job, model, selecting, data)
    np.savez_compressed(part / FILTERS, filters=first_filters(model, data))
    return found, selecting.history
