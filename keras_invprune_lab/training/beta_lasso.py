"""β-LASSO: gradient descent that sets small weights to zero after each step."""

import keras
from keras import ops


class _Lasso:
    """Adds the penalty and the threshold to an optimizer."""

    def __init__(self, *args, penalty=1e-5, beta=50.0, **kwargs):
        super().__init__(*args, **kwargs)
        if not (penalty > 0 and beta > 0):
            raise ValueError(
                "`penalty` (λ) and `beta` (β) must be above 0. Received: "
                f"penalty={penalty}, beta={beta}."
            )
        self.penalty, self.beta = penalty, beta

    def update_step(self, gradient, variable, learning_rate):
        """Make one step on one variable."""
        # ∇L + λ·sign(θ)
        penalized = ops.cast(gradient, variable.dtype) + self.penalty * ops.sign(
            variable
        )
        super().update_step(penalized, variable, learning_rate)
        # θ ← θ·1[|θ| > β·λ]
        kept = ops.abs(variable) > self.beta * self.penalty
        variable.assign(ops.where(kept, variable, ops.zeros_like(variable)))

    def get_config(self):
        """Return what `from_config` needs to build it again."""
        own = {"penalty": self.penalty, "beta": self.beta}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_invprune")
class BetaLasso(_Lasso, keras.optimizers.SGD):
    """SGD on L + λ·‖θ‖₁, then θ ← θ·1[|θ| > β·λ].

    Args:
        penalty: λ > 0.
        beta: β.
        *args: Arguments of `keras.optimizers.SGD`.
        **kwargs: The same, by name.

    Example:
        >>> variable = keras.Variable([0.5, 1e-4])
        >>> BetaLasso(0.1, penalty=1e-3).apply([keras.ops.zeros(2)], [variable])
        >>> print(variable.numpy())
        [0.4999 0.    ]

    Raises:
        ValueError: If λ or β is not above 0.

    Source:
        Neyshabur 2020, Towards learning convolutions from scratch (2007.13657),
        algorithm 1; the authors' code of 2309.08171, which has β = 50.
    """


@keras.saving.register_keras_serializable(package="keras_invprune")
class BetaLassoAdamW(_Lasso, keras.optimizers.AdamW):
    """AdamW in place of SGD, see `BetaLasso`."""


def with_penalty(optimizer, penalty):
    """Return the same optimizer, SGD or AdamW, with the penalty λ and the threshold."""
    adam = isinstance(optimizer, keras.optimizers.AdamW)
    kind = BetaLassoAdamW if adam else BetaLasso
    config = {**optimizer.get_config(), "name": "beta_lasso", "penalty": penalty}
    return kind.from_config(config)
