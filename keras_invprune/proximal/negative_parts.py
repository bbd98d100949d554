"""The negative parts of whole layers: without them, ReLU does nothing."""

from collections.abc import Mapping, Sequence
from typing import Self

import keras

from keras_invprune.contracts import Tensor, unwrapped
from keras_invprune.graph.active import rectified_layers, removable_layers
from keras_invprune.proximal.base import (
    LayerOperator,
    check_strength,
    norm_of,
    shrunk,
)
from keras_invprune.saving import named


@keras.saving.register_keras_serializable(package="keras_invprune")
class NegativeParts(LayerOperator):
    """Layer sparsity: shrinks the negative part of each layer's weights as one group.

    The penalty is Σ r·‖W₋‖, with W₋ = max(0, -W) and the Euclidean norm over a layer's
    kernel and bias. The proximal step of size η is exact:
    W ← W₊ - W₋·max(0, 1 - η·r/‖W₋‖). Once ‖W₋‖ <= η·r, the negative part is exactly
    zero. If the layer's input is not negative, its ReLU is then the identity, and
    `merge_layers` removes the layer. This holds for every activation with f(t) = t for
    t >= 0. The bias takes part, since a negative bias makes sums negative, too.

    Args:
        strengths: ``{name of a layer: r >= 0}``. See `NegativeParts.of` for one
            strength in all layers that may be removed.

    Example:
        >>> variable = keras.Variable([[3.0, -0.3], [-0.4, 2.0]], name="kernel")
        >>> half = NegativeParts({"": 0.25}).prox([variable], 1.0)[0]
        >>> print(half.numpy())  # its norm is 0.5, the threshold is larger
        [[3. 0.]
         [0. 2.]]

    Source:
        Hebiri, Lederer: Layer Sparsity in Neural Networks (2006.15604), for the
        penalty. The proximal step and the part of the bias are derived here.
    """

    @classmethod
    def of(
        cls,
        model: keras.Model,
        strength: float | Mapping[str, float],
        nonnegative_inputs: bool | Sequence[str] = False,
        rising: bool = False,
    ) -> Self:
        """Return the operator for the layers of a model that may be removed.

        Args:
            model: A built Sequential or Functional model, or one made from it by
                `prune`.
            strength: r >= 0 of every layer that is trained and whose input is never
                negative, or ``{name: r}`` for some layers. In the first hidden layer,
                this needs inputs that are declared.
            nonnegative_inputs: Whether the model's inputs are never negative, or the
                names of the inputs that never are.
            rising: Whether one strength r rises from r/n in the first of n layers to r
                in the last. The last layers then go first, one after the other. With
                the same r in all layers, many go at once.

        Raises:
            ValueError: If the model has no graph, if no layer may be removed, if a
                strength is negative, or if a layer is not there.
            TypeError: If a strength is not a number.
        """
        inner, _ = unwrapped(model)
        known = rectified_layers(inner)
        if isinstance(strength, Mapping):
            for name in strength:
                named(name, known, "layer with a rectifier")
            return cls(strength)
        check_strength(strength)
        safe = removable_layers(inner, nonnegative_inputs)
        names = [name for name in safe if known[name].kernel.trainable]
        if not names:
            raise ValueError(
                f"No layer of model {inner.name!r} may be removed: this needs a Dense "
                "or convolutional layer with a rectifier, such as ReLU, that is not "
                "frozen, and whose input is never negative. If the model's inputs are "
                "not, declare it with nonnegative_inputs=True."
            )
        shares = [
            (place + 1) / len(names) if rising else 1.0 for place in range(len(names))
        ]
        return cls({n: strength * s for n, s in zip(names, shares, strict=True)})

    def prox(self, values: list, threshold: Tensor) -> list:
        """Return W₊ - W₋·max(0, 1 - threshold/‖W₋‖)."""
        ops = keras.ops
        negative = [ops.maximum(-value, 0) for value in values]
        norm = norm_of(negative)
        return [
            ops.maximum(value, 0) - shrunk(part, norm, threshold)
            for value, part in zip(values, negative, strict=True)
        ]
