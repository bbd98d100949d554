"""SynFlow: pruning without data that does not empty a layer."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import Arrays, Score, ScoreContext, Tensor
from keras_invprune.graph.inputs import input_structure
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.scores._gradients import (
    gradients,
    heads_through,
    logits_only,
    outputs_at,
    tensors,
)
from keras_invprune.scores._known import known_as


@known_as("synflow")
class SynFlow(Score):
    """Ranks weights by their synaptic flow ``|θ| · ∂R/∂|θ|``, without data.

    R is the sum of the outputs for inputs of ones, with ``|θ|`` instead of all floating
    weights θ and without the activations of the last Dense layers. If nothing is added
    to the flow, as by the biases of a trained network, the scores of every layer have
    the same sum. Therefore, when weights are removed in many small rounds, no layer
    loses all its weights before the others. Use it with ``schedule="at_init"``.

    Args:
        rounds: Number of rounds, at least 1. Each divides the density by the same
            factor.

    Example:
        >>> prune(model, 0.99, score="synflow", schedule="at_init")  # doctest: +SKIP

    Raises:
        ValueError: If `rounds` is below 1. On use: if the flow is zero or not finite.

    Source:
        Tanaka et al. 2020, Pruning neural networks without any data by iteratively
        conserving synaptic flow (2006.05467), algorithm 1.
    """

    def __init__(self, rounds: int = 100):
        if not is_positive_integer(rounds):
            raise ValueError(f"`rounds` must be >= 1. Received: rounds={rounds!r}.")
        self.rounds = int(rounds)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        values = tensors({key: np.abs(weight) for key, weight in weights.items()})
        own = {id(v) for v in context.variables.values()}
        others = [
            (w.variable, ops.abs(w.variable.value))
            for w in weights_by_key(context.network).values()
            if id(w.variable) not in own
            and keras.backend.is_float_dtype(w.variable.dtype)
        ]
        ones = keras.tree.map_structure(
            lambda t: tf.ones([d or 1 for d in t.shape], t.dtype),
            input_structure(context.network),
        )

        def flow(values: Mapping[str, Tensor]) -> Tensor:  # R_SF = 1ᵀ (Π |θ|) 1
            outputs = keras.tree.flatten(outputs_at(context, values, ones, others))
            return sum(ops.sum(ops.cast(f, "float32")) for f in outputs)

        with heads_through(context.network, logits_only):
            g, total = gradients(values, flow), float(flow(values))
        scores = {key: (values[key] * g[key]).numpy() for key in weights}
        _check(scores, total)
        return scores


def _check(scores: Arrays, total: float) -> None:
    # Some layer's scores add up to most of the flow. Behind a softmax, whose sum is
    # always 1, scores are rounding errors, at most a 10,000th of the flow.
    most = max(float(np.sum(np.abs(s), dtype=np.float64)) for s in scores.values())
    finite = np.isfinite(most) and np.isfinite(total)
    if not (finite and most > 1e-3 * abs(total)):
        raise ValueError(
            f"The synaptic flow is {'zero' if finite else 'not finite'}, so SynFlow "
            "cannot rank the weights. It is zero behind a separate softmax layer: let "
            "the model end in logits. It overflows in very deep networks without "
            "normalization."
        )
