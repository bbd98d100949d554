"""One run of a benchmark: trains, chooses by validation rows, tests once."""

import json
import shutil
import time
from pathlib import Path

import keras
import numpy as np

from keras_invprune import views
from keras_invprune.allocation import PerLayer, Shuffled
from keras_invprune.consistency import consistency
from keras_invprune.experiments import data as datasets
from keras_invprune.experiments.bench.beta_lasso import BetaLasso
from keras_invprune.experiments.bench.boosting import boost
from keras_invprune.experiments.bench.methods import METHODS
from keras_invprune.experiments.bench.metrics import scores
from keras_invprune.experiments.bench.training import (
    Selecting,
    compile_model,
    restarts_of,
    train,
)
from keras_invprune.experiments.environment import environment
from keras_invprune.experiments.models import (
    embedding_layer,
    get_model,
    standardised,
)
from keras_invprune.experiments.resuming import (
    CONFIG,
    check_same,
    state_size,
    write_history,
    write_json,
)
from keras_invprune.folders import (
    REPORT,
    check_free,
    check_room,
    replacing,
    write_report,
)
from keras_invprune.objectives import Invariance
from keras_invprune.pruning import prune
from keras_invprune.weights import prunable_weights, weights_by_key

SCHEMA = "keras_invprune/bench-run/1"
STATE, FILTERS = "state.weights.h5", "filters.npz"
SHOWN = 64  # filters kept for a picture
SPLIT_SEED = 1  # of the paper's fixed split
VIEWS = {
    "natural_images": views.natural_images,
    "images": views.images,
    "scarf": lambda seed: (None, views.ScarfCorruption(seed=seed)),
}


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
    for folder in (out, part):
        check_same(job.config, folder)
    if is_done(job, root):
        return json.loads((out / REPORT).read_text())
    if out.exists() and not (out / CONFIG).exists():
        check_free(out)
    begin = time.monotonic()
    data = load_data(job)
    keras.utils.set_random_seed(job.seed)
    part.mkdir(parents=True, exist_ok=True)
    write_json(part / CONFIG, job.config)
    if METHODS.get(job.method, METHODS["dense"]).learner == "xgboost":
        validation, test, chosen = boost(job, data, show)
        found, history = {"chosen": chosen}, []
        found |= {"validation": validation, "test": test}
    else:
        found, history = _network(job, root, part, data, show)
    found = {
        "config": job.config,
        "environment": environment(),
        "seconds": round(time.monotonic() - begin, 1),
        **found,
    }
    shutil.rmtree(out, ignore_errors=True)  # a search whose state had been removed
    with replacing(out) as new:
        write_json(new / CONFIG, job.config)
        write_history(history, new / "history.csv")
        for name in (STATE, FILTERS):
            if (part / name).exists():
                shutil.move(part / name, new / name)
        found = write_report(new, SCHEMA, found)
    shutil.rmtree(part)
    return found


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


def make_network(job, data) -> keras.Model:
    """The plain network of a run, freshly initialised."""
    model = get_model(job.recipe.model, data, job.recipe.width)
    images = data.x_train.ndim == 4
    return standardised(model, data.x_train) if images else model


def sparsity_for(model, compression) -> float:
    """The share of the prunable weights to remove for total / nonzero = compression.

    Raises:
        ValueError: What is not prunable is more than may be left.
    """
    variables = [w.variable for w in weights_by_key(model).values()]
    total = sum(int(np.prod(v.shape)) for v in variables if v.trainable)
    prunable = sum(int(np.prod(v.shape)) for v in prunable_weights(model).values())
    left = total / compression - (total - prunable)
    if left < 1:
        raise ValueError(
            f"Compression {compression:g} leaves {total / compression:.0f} of {total} "
            f"weights, and {total - prunable} cannot be pruned."
        )
    return 1 - left / prunable


def _network(job, root, part, data, show):
    recipe, optimizer = job.recipe, None
    model = _masked(job, root, make_network(job, data))
    check_room(part, 6 * state_size(model))
    settings, epochs = recipe.optimizer, job.epochs
    if job.penalty:
        rate = settings.rate
        optimizer = BetaLasso(rate, job.penalty, momentum=0.9, nesterov=True)
    compile_model(model, recipe, settings, data, epochs, optimizer)
    if job.needs and job.needs.method == "search":
        model.optimizer.build(model.trainable_variables)
        model.load_weights(Path(root) / job.needs.name / STATE)
        model.prune_to(model.plan.sparsity)
        settings = recipe.finetune_optimizer or settings
        compile_model(model, recipe, settings, data, epochs)
    elif job.compression:
        model.prune_to(model.plan.sparsity)
    selecting = Selecting(
        part,
        data.x_valid,
        data.y_valid,
        recipe.select,
        restarts_of(settings, epochs),
    )
    searching = job.method == "search" and job.objective == "invariance"
    train(model, job, data, epochs, selecting, show, search=searching)
    if job.method == "search":
        model.save_weights(part / STATE)
    found = _figures(job, model, selecting, data)
    np.savez_compressed(part / FILTERS, filters=first_filters(model, data))
    return found, selecting.history


def _masked(job, root, model):
    """The network of a run under the masks it will get; plain if it gets none."""
    recipe = job.recipe
    if job.method in ("dense", "beta-lasso"):
        return model
    choices = {"schedule": "manual", "initial_scale": (job.kappa, recipe.kappa_scope)}
    if job.needs or job.method == "search":
        choices["rewind"] = recipe.rewind
    if job.objective == "invariance":
        choices["objective"] = Invariance(
            VIEWS[recipe.search.views](job.seed),
            recipe.search.weight,
            recipe.search.temperature,
            recipe.search.labels,
            embedding_layer(model),
        )
    sparsity = sparsity_for(model, job.compression or 2.0)
    mask = METHODS[job.method].mask if job.method in METHODS else None
    if mask == "shuffled":
        choices["allocation"] = Shuffled("global", seed=job.seed)
    if mask == "random":
        choices |= {"score": "random", "allocation": _densities_of(job, root)}
        choices |= {"initial_scale": 1.0, "rewind": None}
    return prune(model, sparsity, **choices)


def _densities_of(job, root) -> PerLayer:
    other = json.loads((Path(root) / job.needs.name / REPORT).read_text())
    return PerLayer({key: 1 - share for key, share in other["densities"].items()})


def _figures(job, model, selecting, data) -> dict:
    """What is reported of the best epoch's network."""
    validation = scores(selecting.outputs(data.x_valid), data.y_valid)
    found = {
        "best_epoch": selecting.best,
        "validation": validation,
        "test": scores(selecting.outputs(data.x_test), data.y_test),
        "consistency": consistency(
            model, data.x_valid, _kinds(data, job.seed), seed=job.seed
        ),
    }
    inner, masks = getattr(model, "inner", model), getattr(model, "masks", {})
    weights = weights_by_key(inner)
    trained = {
        k: w.variable.numpy() for k, w in weights.items() if w.variable.trainable
    }
    for key, mask in masks.items():
        trained[key] = trained[key] * mask.numpy()
    nonzero = {key: int(np.count_nonzero(value)) for key, value in trained.items()}
    total = sum(value.size for value in trained.values())
    kernels = prunable_weights(inner)
    return found | {
        "weights": {"total": total, "nonzero": sum(nonzero.values())},
        "densities": {key: nonzero[key] / trained[key].size for key in kernels},
    }


def first_filters(model, data) -> np.ndarray:
    """The first layer's units of largest norm, each in the shape of its input.

    Returns:
        float16: [units, height, width, channels] for images, [units, features].
    """
    inner, masks = getattr(model, "inner", model), getattr(model, "masks", {})
    key, kernel = next(iter(prunable_weights(inner).items()))
    values = kernel.numpy() * (masks[key].numpy() if key in masks else 1)
    if values.ndim == 2 and len(values) == np.prod(data.x_train.shape[1:]):
        values = values.reshape(*data.x_train.shape[1:], -1)
    units = np.moveaxis(values, -1, 0)
    norms = np.square(units.reshape(len(units), -1)).sum(axis=1)
    return units[np.argsort(-norms, kind="stable")[:SHOWN]].astype("float16")


def _kinds(data, seed) -> dict:
    """The transforms that consistency is measured under, one at a time."""
    if data.x_train.ndim != 4:
        return {"scarf": VIEWS["scarf"](seed)}
    if data.x_train.shape[-1] == 3:
        return dict(
            zip(
                ("resized_crop", "horizontal_flip", "color_jitter", "grayscale"),
                views.natural_images(seed).layers,
                strict=True,
            )
        )
    return dict(
        zip(("shift", "scale", "rotation"), views.images(seed).layers, strict=True)
    )
