"""Gumbel-softmax pruning: the log-odds of each connection are learned."""

from typing import Any

import keras
from keras import ops

from keras_invprune.arguments import is_number, plain
from keras_invprune.contracts import (
    Arrays,
    Effective,
    Masking,
    Score,
    ScoreContext,
    Tensor,
)
from keras_invprune.saving import Configured
from keras_invprune.scores._known import known_as
from keras_invprune.scores._learned import learned


@known_as("gumbel")
class GumbelSoftmax(Score):
    """Ranks weights by their log-odds a of being kept, which are learned.

    During training, layers read ``w · σ((a + g₁ - g₂) / T)``: a relaxed draw of on or
    off, with Gumbel noise g₁ and g₂. The temperature T falls until the target sparsity
    is reached. A penalty, λ times the expected number of weights that are on, is added
    to the loss. The paper prunes weights with odds below 1. Here the given sparsity
    determines how many weights are kept: those of the largest odds. Before pruning, no
    weight is off in evaluation. Weight decay pulls the log-odds towards 0. Use it with
    ``schedule="one_shot"``.

    Args:
        penalty: The weight λ ≥ 0 of the penalty.
        odds: Initial log-odds a.
        rate: The log-odds are `rate` > 0 times a trainable tensor, which the weights'
            optimizer updates. They learn faster by this factor under Adam, and by its
            square under SGD.
        temperatures: (initial T, final T), positive and not rising.
        seed: Integer seed of the noise. None draws one.

    On a CPU, compile without XLA (``jit_compile=False``), which is slow for noise.

    Source:
        Zhang, Tao and Zhang 2023, Neural network pruning by gradient descent
        (2311.12526).
    """

    effective: "GumbelWeight"
    updates = "one"  # the log-odds of masked weights would not learn
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
        pair = isinstance(temperatures, tuple | list) and len(temperatures) == 2
        first, last = temperatures if pair else (0.0, 0.0)
        if not (
            all(is_number(each) for each in (penalty, odds, rate, first, last))
            and (penalty >= 0 and rate > 0 and first >= last > 0)
        ):
            raise ValueError(
                "`penalty` must be >= 0, `odds` a number, `rate` > 0, and "
                "`temperatures` two numbers > 0 that do not rise. Received: "
                f"penalty={penalty!r}, odds={odds!r}, rate={rate!r}, "
                f"temperatures={temperatures!r}."
            )
        self.effective = GumbelWeight(penalty, odds, rate, (first, last), seed)

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: a}``; low scores are pruned first.

        Raises:
            ValueError: If no training step has been made.
        """
        del weights
        return learned(context, "GumbelSoftmax")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return self.effective.get_config()


@keras.saving.register_keras_serializable(package="keras_invprune")
class GumbelWeight(Configured, Effective):
    """The effective weight w' = w · m · σ((a + logistic noise) / T)."""

    slow_in_xla = True  # it draws a number for each weight

    def __init__(
        self,
        penalty: float,
        odds: float,
        rate: float,
        temperatures: tuple[float, float],
        seed: int | None,
    ):
        self.weight_of_penalty = float(penalty)
        self.odds, self.rate = float(odds), float(rate)
        self.temperatures, self.seed = plain(tuple(temperatures)), plain(seed)

    def share(self, layer: keras.Layer) -> tuple:
        """Create the temperature T and the generator of the noise."""
        temperature = layer.add_weight(
            name="temperature",
            shape=(),
            initializer=keras.initializers.Constant(self.temperatures[0]),
            trainable=False,
            autocast=False,
        )
        return temperature, keras.random.SeedGenerator(self.seed)

    def build(self, layer: keras.Layer, name: str, variable: keras.Variable) -> tuple:
        """Create the tensor a / rate."""
        odds = layer.add_weight(
            name=f"{name}_odds",
            shape=variable.shape,
            initializer=keras.initializers.Constant(self.odds / self.rate),
            dtype=variable.dtype,
            autocast=False,
        )
        return (odds,)

    def __call__(
        self,
        weight: Tensor,
        mask: Tensor,
        odds: Tensor,
        temperature: Tensor,
        noise: keras.random.SeedGenerator,
    ) -> Tensor:
        """Return w' for a relaxed draw of the mask."""
        u = keras.random.uniform(ops.shape(weight), 1e-6, 1 - 1e-6, "float32", noise)
        logistic = ops.cast(ops.log(u) - ops.log1p(-u), weight.dtype)  # g₁ - g₂
        draw = ops.sigmoid(
            (self.rate * odds + logistic) / ops.cast(temperature, weight.dtype)
        )
        return weight * mask * draw

    def penalty(self, weight: Tensor, mask: Tensor, odds: Tensor, *_: object) -> Tensor:
        """Return λ · E[number of weights that are on]."""
        del weight
        on = ops.cast(mask * ops.sigmoid(self.rate * odds), "float32")
        return self.weight_of_penalty * ops.sum(on)

    def anneal(self, layer: Masking, progress: float) -> None:
        """Lower T geometrically: T = T_first · (T_last / T_first)^progress."""
        temperature, _ = layer.shared
        first, last = self.temperatures
        temperature.assign(first * (last / first) ** progress)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "penalty": self.weight_of_penalty,
            "odds": self.odds,
            "rate": self.rate,
            "temperatures": self.temperatures,
            "seed": self.seed,
        }
