"""The network of a run, under the masks it will get."""

import json
from pathlib import Path

import keras
import numpy as np

from keras_invprune import scores
from keras_invprune.allocation import PerLayer, Shuffled
from keras_invprune.contracts import Score
from keras_invprune.exporting.folders import REPORT
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.objectives import Invariance
from keras_invprune.pruning.prune import prune
from keras_invprune.schedules import Gradual, OneShot, Rewire
from keras_invprune.scores import Random
from keras_invprune.scores._examples import examples_for
from keras_invprune_lab.methods.base import METHODS, SEARCH
from keras_invprune_lab.methods.view_names import VIEWS
from keras_invprune_lab.models import (
    embedding_layer,
    get_model,
    standardized,
)

SCHEDULES = {
    "rewire": Rewire,
    "each_step": lambda sparsity: Rewire(sparsity, every=1, until=0.99),
    "gradual": Gradual,
    "one_shot": OneShot,
}


def make_network(job, data) -> keras.Model:
    """The plain network of a run, freshly initialized."""
    model = get_model(job.recipe.model, data, job.recipe.width)
    if job.recipe.initializer:
        for kernel in prunable_weights(model, _every_kernel).values():
            draw = keras.initializers.get(job.recipe.initializer)  # a seed of its own
            kernel.assign(draw(kernel.shape))
    images = data.x_train.ndim == 4
    return standardized(model, data.x_train) if images else model


def masked(job, root, model, data):
    """The network of a run under the masks it will get; plain if it gets none."""
    recipe = job.recipe
    method = METHODS.get(job.method, SEARCH)
    if not (method.mask or method.search):
        return model
    choices = {"schedule": "manual", "initial_scale": (job.kappa, recipe.kappa_scope)}
    if job.needs or job.method == "search":
        choices["rewind"] = None if recipe.rewind == "none" else recipe.rewind
    if job.objective == "invariance":
        choices["objective"] = Invariance(
            _views(recipe, data, job.seed),
            recipe.search.weight,
            recipe.search.temperature,
            recipe.search.labels,
            embedding_layer(model),
            supervised=recipe.search.supervised,
        )
    keys, sparsity = pruned_keys(job, model)
    choices["score"] = _score(method, job.seed, data)
    choices["allocation"] = method.allocation
    if method.schedule:
        choices["schedule"] = SCHEDULES[method.schedule](sparsity)
    if method.mask == "shuffled":
        choices["allocation"] = Shuffled(method.allocation, seed=job.seed)
    if method.mask == "random":
        score = Random(job.seed)
        choices |= {"score": score, "allocation": _densities_of(job, root)}
        choices |= {"initial_scale": 1.0, "rewind": None}
    return prune(model, sparsity, select=keys, **choices)


def _score(method, seed, data):
    """The score of a method, with the seed of the run if it draws lots."""
    score = scores.get(method.score)
    if not isinstance(score, Score):
        return score
    config = score.get_config()
    if "seed" in config:
        config["seed"] = seed
    if method.examples:
        config["examples"] = method.examples
    elif score.rewires and score.examples is not None:
        rows = {"x": data.x_train, "y": data.y_train}
        config["examples"] = examples_for(score, rows)  # the same when a run goes on
    return type(score).from_config(config)


def pruned_keys(job, model) -> tuple[list[str], float]:
    """What is pruned of a network, and the share of it that goes; ½ in a search."""
    select = _every_kernel if job.recipe.prune_head else None
    keys = list(prunable_weights(model, select))
    if not job.compression:
        return keys, 0.5
    if job.recipe.counted == "kernels":
        return keys, 1 - 1 / job.compression
    return keys, sparsity_for(model, keys, job.compression)


def _every_kernel(key, layer) -> bool:
    del key, layer
    return True


def _views(recipe, data, seed):
    """The recipe's views, or those that suit the data."""
    if recipe.search.views:
        return VIEWS[recipe.search.views](seed)
    if data.x_train.ndim != 4:
        return VIEWS["scarf"](seed)
    colors = data.x_train.shape[-1] == 3
    return VIEWS["natural_images" if colors else "images"](seed)


def sparsity_for(model, keys, compression) -> float:
    """The share of the weights at `keys` to remove for total / nonzero = compression.

    Raises:
        ValueError: What is not prunable is more than may be left.
    """
    variables = {key: w.variable for key, w in weights_by_key(model).items()}
    sizes = {k: int(np.prod(v.shape)) for k, v in variables.items() if v.trainable}
    total, prunable = sum(sizes.values()), sum(sizes[key] for key in keys)
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
