"""Gumbel-softmax pruning: the odds of each connection are learned."""

from typing import Any

import keras
from keras import ops

from keras_invprune.contracts import Arrays, Effective, Score, ScoreContext, Tensor
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores._learned import learned


@known_as("gumbel")
class GumbelSoftmax(Score):
    """The log odds of each weight to stay, learned with the weights.

    In training, layers read ``w · σ((a + g₁ - g₂) / T)``: a relaxed draw, on or off,
    with Gumbel noise, T falling on the way to the target sparsity; λ times the expected
    number of weights that are on is added to the loss. The paper cuts at even odds;
    here those of the largest odds stay, as many as the sparsity says. In evaluation,
    until then, nothing is off. Weight decay draws the odds to even. With
    ``schedule="one_shot"``.

    Args:
        penalty: λ ≥ 0.
        odds: a of the first step.
        rate: a is this times its trainable tensor, which learns with the optimizer of
            the weights: faster by this under Adam, by its square under SGD.
        temperatures: (T at first, T at the end).
        seed: Integer, of the noise; None draws one.

    On a CPU compile without XLA (``jit_compile=False``), which is slow at noise.

    Source:
        Zhang, Tao and Zhang 2023, Neural network pruning by gradient descent
        (2311.12526).
    """

    updates = "one"  # the odds of what is masked would stand still
    learns = True
    suits = {"schedule": "one_shot"}

    def __init__(
        self,
        penalty: float = 1e-5,
        odds: float = 2.0,
        rate: float = 1.0,
        temperatures: tuple[float, float] = (1.0, 0.1),
        seed: int | None = None,
    ):
        first, last = temperatures
        if not (penalty >= 0 and rate > 0 and first >= last > 0):
            raise ValueError(
                "`penalty` must be >= 0, `rate` > 0, and `temperatures` must fall and "
                f"be > 0. Received: penalty={penalty}, rate={rate}, "
                f"temperatures={temperatures}."
            )
        self.effective = GumbelWeight(penalty, odds, rate, (first, last), seed)

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: a}``; low scores are pruned first.

        Raises:
            ValueError: Before the first step.
        """
        del weights
        return learned(context, "GumbelSoftmax")

    def get_config(self):
        """Returns the arguments."""
        return self.effective.get_config()


@keras.saving.register_keras_serializable(package="keras_invprune")
class GumbelWeight(Configured, Effective):
    """w' = w · m · σ((a + logistic noise) / T)."""

    def __init__(
        self,
        penalty: float,
        odds: float,
        rate: float,
        temperatures: tuple[float, float],
        seed: int | None,
    ):
        self.weight_of_penalty, self.odds, self.rate = penalty, odds, rate
        self.temperatures, self.seed = tuple(temperatures), seed

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable):
        """The odds a over the rate; T and the noise, one for all weights."""
        if not hasattr(layer, "temperature"):
            layer.noise = keras.random.SeedGenerator(self.seed)
            layer.temperature = layer.add_weight(
                name="temperature",
                shape=(),
                initializer=keras.initializers.Constant(self.temperatures[0]),
                trainable=False,
                autocast=False,
            )
        odds = layer.add_weight(
            name=f"{name}_odds",
            shape=variable.shape,
            initializer=keras.initializers.Constant(self.odds / self.rate),
            dtype=variable.dtype,
            autocast=False,
        )
        return odds, layer.temperature, layer.noise

    def __call__(
        self,
        weight: Tensor,
        mask: Tensor,
        odds: Tensor,
        temperature: Tensor,
        noise: Any,
    ):
        """A relaxed draw of the mask, times w."""
        u = keras.random.uniform(ops.shape(weight), 1e-6, 1 - 1e-6, "float32", noise)
        logistic = ops.cast(ops.log(u) - ops.log1p(-u), weight.dtype)  # g₁ - g₂
        draw = ops.sigmoid(
            (self.rate * odds + logistic) / ops.cast(temperature, weight.dtype)
        )
        return weight * mask * draw

    def penalty(
        self,
        weight: Tensor,
        mask: Tensor,
        odds: Tensor,
        temperature: Tensor,
        noise: Any,
    ):
        """λ · E[number of weights that are on]."""
        del weight, temperature, noise
        on = ops.cast(mask * ops.sigmoid(self.rate * odds), "float32")
        return self.weight_of_penalty * ops.sum(on)

    def anneal(self, layer: keras.Layer, progress: float):
        """T falls by the same factor in each share of the way."""
        first, last = self.temperatures
        layer.temperature.assign(first * (last / first) ** progress)

    def get_config(self):
        """Returns the arguments."""
        return {
            "penalty": self.weight_of_penalty,
            "odds": self.odds,
            "rate": self.rate,
            "temperatures": self.temperatures,
            "seed": self.seed,
        }
