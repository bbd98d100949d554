"""A sum of tensors whose weights are learned and positive."""

from collections.abc import Sequence

import keras

from keras_invprune.contracts import Tensor


@keras.saving.register_keras_serializable(package="keras_invprune")
class WeightedSum(keras.layers.Layer):
    """The sum Σ σ(w_i)·x_i of tensors of one shape, with a learned number w_i for each.

    All w_i start at 0, so that each tensor first counts half.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = WeightedSum()
        >>> np.asarray(layer([np.ones((1, 2), "float32"), np.ones((1, 2), "float32")]))
        array([[1., 1.]], dtype=float32)

    Raises:
        ValueError: On use: if there are not several tensors of one shape.

    Source:
        Xie et al. 2019, Exploring randomly wired neural networks for image recognition
        (1904.01569), section 3.2.
    """

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        """Create a number for each tensor."""
        # Keras passes the shape of a single tensor by itself, and not in a list.
        shapes = [s for s in input_shape if isinstance(s, Sequence)]
        if len(shapes) < 2 or len(set(map(tuple, shapes))) > 1:
            raise ValueError(
                "A weighted sum takes several tensors of one shape. Received: tensors "
                f"of shapes {shapes or [input_shape]}."
            )
        self.w = self.add_weight((len(input_shape),), initializer="zeros", name="w")
        self.built = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the sum."""
        shares = keras.ops.sigmoid(self.w)
        return sum(shares[place] * tensor for place, tensor in enumerate(inputs))

    def compute_output_shape(
        self, input_shape: Sequence[Sequence[int | None]]
    ) -> tuple[int | None, ...]:
        """Return the shape of each tensor."""
        return tuple(input_shape[0])
