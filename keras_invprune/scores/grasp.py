"""GraSP: keeps the gradient flowing after pruning."""

from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from keras_invprune.arguments import is_number
from keras_invprune.contracts import Arrays, ScoreContext, Tensor
from keras_invprune.scores._gradients import (
    gradients,
    heads_through,
    mean_gradients,
    tensors,
)
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples


@known_as("grasp")
class Grasp(OnExamples):
    """Ranks weights by ``w · Hg``: how much the gradient norm grows with the weight.

    g is the gradient and H the Hessian of the loss. Weights whose removal preserves or
    raises the norm of the gradient are pruned first, so that the pruned network trains
    fast. Use it with ``schedule="at_init"``. The network runs in evaluation mode.

    Args:
        examples: See `OnExamples`. The paper uses ten of each class.
        batch_size: See `OnExamples`.
        temperature: The temperature T > 0. It divides the logits if the model ends in a
            Dense layer.

    Source:
        Wang, Zhang and Grosse 2020, Picking winning tickets before training by
        preserving gradient flow (2002.07376), with the opposite sign, since we keep
        high scores.
    """

    def __init__(
        self,
        examples: int | tuple = 128,
        batch_size: int = 128,
        temperature: float = 200.0,
    ):
        super().__init__(examples, batch_size)
        if not (is_number(temperature) and temperature > 0):
            raise ValueError(
                "`temperature` must be a number > 0. Received: "
                f"temperature={temperature!r}."
            )
        self.temperature = float(temperature)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        values, batches = tensors(weights), list(self.batches(context))

        def loss(values: Mapping[str, Tensor], batch: tuple) -> Tensor:
            # Multiplying by T does not change the ranking, and keeps softened gradients
            # from vanishing in float16.
            return self.temperature * context.loss(values, batch)

        def softened(activation: Callable, logits: Tensor) -> Tensor:
            return activation(logits / self.temperature)

        with heads_through(context.network, softened):
            g = mean_gradients(values, loss, batches)

            def flow(
                values: Mapping[str, Tensor], batch: tuple
            ) -> Tensor:  # gᵀ ∂L/∂w, whose gradient is Hg
                own = gradients(values, lambda v: loss(v, batch))
                return sum(ops.sum(g[key] * own[key]) for key in values)

            hg = mean_gradients(values, flow, batches)
        scores = {key: weight * hg[key].numpy() for key, weight in weights.items()}
        # Divide by the sum, as the authors' code does, but by its absolute value, which
        # preserves the order.
        total = abs(sum(float(np.sum(s, dtype=np.float64)) for s in scores.values()))
        scores = {key: s / (total + 1e-10) for key, s in scores.items()}
        # Weights already pruned score 0, but must be below the negative scores.
        lowest = np.nextafter(min(s.min() for s in scores.values()), np.float32("-inf"))
        return {k: np.where(weights[k] == 0, lowest, s) for k, s in scores.items()}
