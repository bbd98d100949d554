"""The group lasso over units."""

import keras

from keras_invprune.contracts import Tensor
from keras_invprune.proximal.base import LayerOperator, shrunk


@keras.saving.register_keras_serializable(package="keras_invprune")
class UnitLasso(LayerOperator):
    """Unit sparsity: shrinks the incoming weights and the bias of each unit as a group.

    Args:
        strengths: ``{name of a layer: r >= 0}``. Units are the last axis of the kernel
            of a Dense layer or of a convolution.

    Source:
        Yuan, Lin 2006, with the exact proximal step of each group.
    """

    def prox(self, values: list, threshold: Tensor) -> list:
        """Return the weights with each unit shrunk by its norm."""
        ops = keras.ops
        flat = [
            ops.cast(ops.reshape(value, (-1, value.shape[-1])), "float32")
            for value in values
        ]
        norms = ops.sqrt(sum(ops.sum(ops.square(part), axis=0) for part in flat))
        return [shrunk(value, norms, threshold) for value in values]
