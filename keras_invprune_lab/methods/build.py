"""The network of a run, and what of it is pruned."""

import keras
import numpy as np

from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import weights_by_key
from keras_invprune_lab.models import get_model, standardized


def make_network(job, data) -> keras.Model:
    """Return the plain network of a run, freshly initialized."""
    model = get_model(job.recipe.model, data, job.recipe.width)
    if job.recipe.initializer:
        for kernel in prunable_weights(model, _every_kernel).values():
            draw = keras.initializers.get(job.recipe.initializer)  # a seed of its own
            kernel.assign(draw(kernel.shape))
    images = data.x_train.ndim == 4
    return standardized(model, data.x_train) if images else model


def pruned_keys(job, model, named="all") -> tuple[list[str], float]:
    """Return what is pruned of a network and its sparsity, ½ in a search.

    Args:
        job: `Job`.
        model: Its network.
        named: Name that the weights have at the end of their keys; "all" for any.

    Raises:
        ValueError: If no weight has that name, or if what is not prunable is more than
            may be left.
    """
    select = _every_kernel if job.recipe.prune_head else None
    every = list(prunable_weights(model, select))
    keys = [key for key in every if named in ("all", key.split("/")[-1])]
    if not keys:
        raise ValueError(
            f"No weight to prune is named {named!r}. The network of this run has "
            f"{every}. Choose another `pruned_weights`, or another model."
        )
    if not job.compression:
        return keys, 0.5
    if job.recipe.counted == "kernels":
        return keys, 1 - 1 / job.compression
    return keys, sparsity_for(model, keys, job.compression)


def _every_kernel(key, layer) -> bool:
    del key, layer
    return True


def sparsity_for(model, keys, compression) -> float:
    """Return the sparsity of the weights at `keys` for total / nonzero = compression.

    Raises:
        ValueError: If what is not prunable is more than may be left.
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
