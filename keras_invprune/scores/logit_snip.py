"""SNIP on the logits, which needs no labels."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_invprune.contracts import Arrays, ScoreContext, Tensor
from keras_invprune.scores._gradients import (
    heads_through,
    logits_only,
    mean_gradients,
    outputs_at,
    tensors,
)
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("logit_snip")
class LogitSnip(OnExamples):
    """SNIP on the logits f: ``|w · ∂(Σ f²)/∂w|``. It reads no labels.

    The logits are the outputs before the last activation.

    Args:
        examples: See `OnExamples`.
        batch_size: See `OnExamples`.

    Example:
        >>> score = LogitSnip(examples=(np.random.rand(64, 8),))
        >>> pruned = prune(model, 0.9, score=score, schedule="manual")  # doctest: +SKIP
        >>> pruned.prune_to(0.9)  # no label, no loss  # doctest: +SKIP

    Source:
        Liu and Zenke 2020, Finding trainable sparse networks through neural tangent
        transfer (2006.08228): the authors' code makes its first mask by this score.
    """

    reads = "(x,)"

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""

        def squares(values: Mapping[str, Tensor], batch: tuple) -> Tensor:
            outputs = keras.tree.flatten(outputs_at(context, values, batch[0]))
            outputs = [ops.cast(f, "float32") for f in outputs]
            return sum(ops.sum(ops.square(f)) / len(f) for f in outputs)  # of a row

        with heads_through(context.network, logits_only):
            g = mean_gradients(tensors(weights), squares, self.batches(context))
        return {key: np.abs(weight * g[key].numpy()) for key, weight in weights.items()}
