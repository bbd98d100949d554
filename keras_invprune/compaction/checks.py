"""Checks of what is to be compacted, before anything is done."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_invprune.graph.active import check_graph
from keras_invprune.graph.connections import check_absent
from keras_invprune.graph.weights import check_plain, weights_by_key

LISTED = 3  # the maximum number of names in a message


def check_model(model: Any) -> None:
    """Raise unless a model is plain, built, a graph, and has finite weights.

    Raises:
        TypeError: If it is not a model of Keras 3.
        ValueError: If it carries masks, is not built or subclassed, or if a weight is
            not finite, or not zero where a graph has no connection.
    """
    check_plain(model, "kip.compact({})")
    check_graph(model)
    variables = {key: weight.variable for key, weight in weights_by_key(model).items()}
    _check_finite(variables)
    check_absent(variables)


def _check_finite(variables: Mapping[str, keras.Variable]) -> None:
    wrong = [
        key
        for key, variable in variables.items()
        if keras.backend.is_float_dtype(variable.dtype)
        and not bool(keras.ops.all(keras.ops.isfinite(variable)))
    ]
    if wrong:
        raise ValueError(
            f"Weights must be finite. Received: NaN or infinity in {wrong[:LISTED]}. "
            "Train again with a smaller learning rate, or load an earlier checkpoint."
        )
