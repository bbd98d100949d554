"""The network of a run, under the masks it will get."""

import json
from pathlib import Path

import keras
import numpy as np

from keras_invprune import views
from keras_invprune.allocation import PerLayer, Shuffled
from keras_invprune.experiments.bench.methods import METHODS
from keras_invprune.experiments.models import (
    embedding_layer,
    get_model,
    standardised,
)
from keras_invprune.folders import REPORT
from keras_invprune.objectives import Invariance
from keras_invprune.pruning import prune
from keras_invprune.weights import prunable_weights, weights_by_key

VIEWS = {
    "natural_images": views.natural_images,
    "images": views.images,
    "scarf": lambda seed: (None, views.ScarfCorruption(seed=seed)),
}


def make_network(job, data) -> keras.Model:
    """The plain network of a run, freshly initialised."""
    model = get_model(job.recipe.model, data, job.recipe.width)
    images = data.x_train.ndim == 4
    return standardised(model, data.x_train) if images else model


def masked(job, root, model):
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


def _densities_of(job, root) -> PerLayer:
    other = json.loads((Path(root) / job.needs.name / REPORT).read_text())
    return PerLayer({key: 1 - share for key, share in other["densities"].items()})
