"""β-LASSO: gradient descent that sets small weights to zero after each step."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_invprune.proximal import Operator, Proximal


@keras.saving.register_keras_serializable(package="keras_invprune")
class BetaLasso(Operator):
    """A step on L + λ·‖θ‖₁, then θ ← θ·1[|θ| > β·λ].

    Args:
        penalty: λ > 0.
        beta: β.

    Example:
        >>> variable = keras.Variable([0.5, 1e-4])
        >>> optimizer = Proximal(keras.optimizers.SGD(0.1), BetaLasso(1e-3))
        >>> optimizer.apply([keras.ops.zeros(2)], [variable])
        >>> print(variable.numpy())
        [0.4999 0.    ]

    Raises:
        ValueError: If λ or β is not above 0.

    Source:
        Neyshabur 2020, Towards learning convolutions from scratch (2007.13657),
        algorithm 1; the authors' code of 2309.08171, which has β = 50.
    """

    def __init__(self, penalty: float = 1e-5, beta: float = 50.0):
        if not (penalty > 0 and beta > 0):
            raise ValueError(
                "`penalty` (λ) and `beta` (β) must be above 0. Received: "
                f"penalty={penalty}, beta={beta}."
            )
        self.penalty, self.beta = penalty, beta

    def penalize(self, gradients: list, variables: list[keras.Variable]) -> list:
        """Return ∇L + λ·sign(θ)."""
        return [
            gradient
            if gradient is None
            else ops.cast(gradient, variable.dtype) + self.penalty * ops.sign(variable)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def moved(
        self, variables: list[keras.Variable], rate: Any
    ) -> Iterator[tuple[keras.Variable, Any]]:
        """Yield θ·1[|θ| > β·λ], whatever the size of the step."""
        del rate
        for variable in variables:
            kept = ops.abs(variable) > self.beta * self.penalty
            yield variable, ops.where(kept, variable, ops.zeros_like(variable))


def with_penalty(optimizer, penalty):
    """Return the optimizer with the penalty λ and the threshold."""
    return Proximal(optimizer, BetaLasso(penalty))
