"""SynFlow: pruning without data that leaves no layer empty."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_invprune.contracts import Arrays, Score, ScoreContext
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
    """``|θ| · ∂R/∂|θ|``, R the sum of the outputs for inputs of ones under ``|θ|``.

    Where nothing is added, as by the biases of a trained network, every layer's scores
    have the same sum, the synaptic flow; removed in many small rounds, no layer loses
    all its weights before the others do. All other floating
    weights are replaced by their absolute values, too, and the last Dense layers'
    activations are left out. Meant for `schedule="at_init"`; reads no data.

    Args:
        rounds: In how many rounds the density comes down, by the same factor each.

    Example:
        >>> prune(model, 0.99, score="synflow", schedule="at_init")  # doctest: +SKIP

    Raises:
        ValueError: On use: the flow is zero or not finite.

    Source:
        Tanaka et al. 2020, Pruning neural networks without any data by iteratively
        conserving synaptic flow (2006.05467), algorithm 1.
    """

    def __init__(self, rounds: int = 100):
        if not (isinstance(rounds, int) and rounds >= 1):
            raise ValueError(f"`rounds` must be >= 1. Received: rounds={rounds!r}.")
        self.rounds = rounds

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: array}``; low scores are pruned first."""
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

        def flow(values):  # R_SF = 1ᵀ (Π |θ|) 1
            outputs = keras.tree.flatten(outputs_at(context, values, ones, others))
            return sum(ops.sum(ops.cast(f, "float32")) for f in outputs)

        with heads_through(context.network, logits_only):
            g, total = gradients(values, flow), float(flow(values))
        scores = {key: (values[key] * g[key]).numpy() for key in weights}
        _check(scores, total)
        return scores


def _check(scores, total):
    # Some layer's scores make up the flow, or much of it; what comes through a softmax,
    # whose sum is 1 whatever the weights, is rounding errors: a 10,000th of it at most.
    most = max(float(np.sum(np.abs(s), dtype=np.float64)) for s in scores.values())
    finite = np.isfinite(most) and np.isfinite(total)
    if not (finite and most > 1e-3 * abs(total)):
        raise ValueError(
            f"The synaptic flow is {'zero' if finite else 'not finite'}: SynFlow "
            "cannot rank. It is zero behind a softmax that is a layer of its own (let "
            "the model end in logits), and overflows in very deep networks without "
            "normalization."
        )
