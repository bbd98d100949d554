"""The slopes of PReLU, driven to 1, where PReLU is the identity."""

import keras

from keras_invprune.contracts import Tensor
from keras_invprune.proximal.base import LayerOperator, norm_of, shrunk


@keras.saving.register_keras_serializable(package="keras_invprune")
class SlopesToOne(LayerOperator):
    """Layer folding: shrinks the distance of a PReLU's slopes α from 1.

    The penalty is Σ r·‖α - 1‖, and its proximal step is exact:
    α ← 1 + (α - 1)·max(0, 1 - η·r/‖α - 1‖). Once all slopes of a layer are 1, it is the
    identity, and `merge_layers` merges the layers around it. Slopes that start at 0
    start as ReLU.

    Args:
        strengths: ``{name of a PReLU layer: r >= 0}``.

    Source:
        Dror, Zehngut, Raviv, Artyomov, Vitek, Jevnisek: Layer Folding (2106.09309),
        for the idea. Its penalty acts on each slope by a gradient; this one acts on the
        slopes of a layer together, with exact ones.
    """

    weights = ("alpha",)

    def prox(self, values: list, threshold: Tensor) -> list:
        """Return 1 + (α - 1)·max(0, 1 - threshold/‖α - 1‖)."""
        distances = [value - 1 for value in values]
        norm = norm_of(distances)
        return [1 + shrunk(distance, norm, threshold) for distance in distances]
