"""RigL: connections move to where the gradient is large."""

import numpy as np

from keras_invprune.contracts import Arrays, ScoreContext
from keras_invprune.scores._gradients import (
    mean_gradients,
    tensors,
)
from keras_invprune.scores._known import known_as
from keras_invprune.scores._on_examples import OnExamples
from keras_invprune.scores._rewiring import chances, check_fraction, moved


@known_as("rigl")
class RigL(OnExamples):
    """Drops connections of the smallest magnitude, grows those of largest ``|∂L/∂w|``.

    Use it with ``schedule=Rewire(...)`` and ``allocation="erk"``. The first masks are
    random; connections that grow start at zero. Each update reads one batch of the
    examples, with the network in evaluation mode. Under a pattern, whole blocks or
    units move. Under "units", prefer `SparseEvolution`: a unit without weights and bias
    gets no gradient through its ReLU, so hardly anything grows except what was dropped.

    Args:
        fraction: α, the share of a weight's connections to move at each update, in
            (0, 1). `Rewire` makes it decay.
        seed: Integer seed of the first masks.
        examples: See `OnExamples`.
        batch_size: Number of rows that an update reads.

    Source:
        Evci et al. 2020, Rigging the lottery (1911.11134), algorithm 1.
    """

    rewires = True
    suits = {"schedule": "rewire", "allocation": "erk"}

    def __init__(
        self,
        fraction: float = 0.3,
        seed: int = 0,
        examples: int | tuple = 4096,
        batch_size: int = 128,
    ):
        super().__init__(examples, batch_size)
        self.fraction = check_fraction(fraction)
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        if not context.moving:
            return chances(weights, self.seed)
        turn = int(np.random.default_rng([self.seed, context.step]).integers(2**31))
        g = mean_gradients(
            tensors(weights),
            context.loss,
            self.batches(context, turn),
        )
        growth = {key: np.abs(gradient.numpy()) for key, gradient in g.items()}
        return moved(weights, growth, self.fraction * context.decay, context)
