"""Checks of what is to be compacted, before anything is done."""

from typing import Any

from keras_invprune.graph.active import check_graph
from keras_invprune.graph.connections import check_absent
from keras_invprune.graph.weights import check_finite, check_plain, weights_by_key


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
    check_finite(variables)
    check_absent(variables)
