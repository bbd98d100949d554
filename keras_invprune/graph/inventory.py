"""An inventory of a model: its kernels, their zeros, and the weights not pruned."""

from collections.abc import Collection, Iterable, Mapping

import keras
import numpy as np

from keras_invprune.graph.prunable import (
    PRUNABLE_NAMES,
    head_layers,
    on_request,
    prunable_weights,
    why_fixed,
)
from keras_invprune.graph.weights import Weight, kernels, weights_by_key

HEAD = "the head stays dense unless selected"
ON_REQUEST = "pruned only when selected"
NOT_SELECTED = "prunable, but not selected"
PRUNABLE = "prunable"  # if nothing in the network is pruned
UNKNOWN = f"unknown: only weights named {', '.join(PRUNABLE_NAMES)} are pruned"


def left_alone(
    model: keras.Model,
    keys: Iterable[str] | None = None,
    weights: Mapping[str, Weight] | None = None,
) -> dict[str, str]:
    """Return the kernels that are not pruned, each with the reason.

    Args:
        model: A built Keras 3 model, not a `PrunedModel`.
        keys: Keys of the weights that are pruned; None for the default choice.
        weights: The result of `weights_by_key(model)`; None to compute it.

    Returns:
        ``{key: reason}`` of all other weights of rank >= 2 that are not biases.
    """
    weights = weights_by_key(model) if weights is None else weights
    if keys is None:
        keys = _default_keys(model, weights)
    heads = {id(layer) for layer in head_layers(model, weights)}
    prunable = NOT_SELECTED if keys else PRUNABLE
    return {
        key: _reason(layer, variable, heads, prunable)
        for key, (layer, variable) in kernels(weights).items()
        if key not in keys
    }


def inventory(model: keras.Model) -> dict:
    """Count the weights of all kernels (rank >= 2, not biases), and their zeros.

    Args:
        model: A built Keras 3 model, e.g. after `strip_pruning`.

    Returns:
        ``{"total", "zeros", "sparsity", "by_key": {key: {"shape", "zeros"}},
        "left_alone": {key: reason}}``. The sparsity is a share in [0, 1]; kernels
        without any zero count as left alone.
    """
    weights, by_key = weights_by_key(model), {}
    for key, (_, variable) in kernels(weights).items():
        array = keras.ops.convert_to_numpy(variable)
        zeros = array.size - int(np.count_nonzero(array))
        by_key[key] = {"shape": list(array.shape), "zeros": zeros}
    total = sum(int(np.prod(found["shape"])) for found in by_key.values())
    zeros = sum(found["zeros"] for found in by_key.values())
    sparse = [key for key, found in by_key.items() if found["zeros"]]
    return {
        "total": total,
        "zeros": zeros,
        "sparsity": zeros / max(total, 1),
        "by_key": by_key,
        "left_alone": left_alone(model, sparse, weights),
    }


def _default_keys(model: keras.Model, weights: Mapping[str, Weight]) -> Collection[str]:
    try:
        return prunable_weights(model, weights=weights).keys()
    except ValueError:  # nothing to prune
        return ()


def _reason(
    layer: keras.Layer, variable: keras.Variable, heads: Collection[int], prunable: str
) -> str:
    fixed = why_fixed(layer, variable)
    if fixed:
        return fixed
    if id(layer) in heads:
        return HEAD
    if on_request(layer, variable):
        return ON_REQUEST
    return prunable if variable.name in PRUNABLE_NAMES else UNKNOWN
