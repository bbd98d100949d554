"""The ℓ1 penalty, for single connections."""

import keras

from keras_invprune.contracts import Tensor
from keras_invprune.proximal.base import LayerOperator


@keras.saving.register_keras_serializable(package="keras_invprune")
class L1(LayerOperator):
    """Connection sparsity: soft thresholding, sign(w)·max(0, abs(w) - η·r).

    Args:
        strengths: ``{name of a layer: r >= 0}``. Only kernels are penalized.

    Source:
        Tibshirani 1996; the step is that of ISTA.
    """

    weights = ("kernel",)

    def prox(self, values: list, threshold: Tensor) -> list:
        """Return the kernel after soft thresholding."""
        ops = keras.ops
        return [
            ops.sign(value) * ops.maximum(ops.abs(value) - _like(threshold, value), 0)
            for value in values
        ]


def _like(threshold: Tensor, value: Tensor) -> Tensor:
    return keras.ops.cast(threshold, value.dtype)
