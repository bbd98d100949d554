"""The base classes of the random image layers."""

from typing import Any

import keras
from keras import ops

from keras_invprune.arguments import plain
from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import choice
from keras_invprune.views._draws import uniform
from keras_invprune.views.resampling import FILL_MODES


class ImageView(keras.layers.Layer):
    """A layer that draws one random transformation for each image.

    It is active in both training and inference, since views are the subject of the
    objective, not a regularizer. Subclasses implement `transform`.

    Args:
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`. `dtype` is "float32" by default,
            also under mixed precision.
    """

    rank = 4
    """Rank of the input, for `check_views`."""
    moves = False
    """Whether it moves objects to other positions in the image, see `pairs.moves`."""

    def __init__(self, seed: int | None = None, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.seed = plain(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, images: Tensor) -> Tensor:
        """Return a random version of each image, of the same shape.

        Args:
            images: [batch, height, width, channels], of any float or integer
                dtype. Values are not rescaled (not divided by 255).

        Raises:
            ValueError: If `images` is not of rank 4.
        """
        if len(images.shape) != self.rank:
            raise ValueError(
                f"{type(self).__name__} needs images of shape [batch, height, "
                f"width, channels]. Received: shape={tuple(images.shape)}. Add the "
                "missing axes with `keras.ops.expand_dims`."
            )
        return self.transform(ops.cast(images, self.compute_dtype))

    def transform(self, images: Tensor) -> Tensor:
        """Return a random version of each image.

        Args:
            images: [batch, height, width, channels], of the compute dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `transform`.")

    def draw(
        self, images: Tensor, low: float = 0.0, high: float = 1.0, shape: tuple = ()
    ) -> Tensor:
        """Return U(low, high) for each image: float32, [batch, *shape].

        Args:
            images: The batch that is being transformed.
            low: Lower end of the interval.
            high: Upper end of the interval.
            shape: Shape of the numbers for one image.
        """
        shape = (ops.shape(images)[0], *shape)
        return uniform(shape, low, high, self.seed_generator)

    def chosen(self, images: Tensor, probability: float) -> Tensor:
        """Return which images are chosen at random: bool, [batch, 1, 1, 1].

        Args:
            images: The batch that is being transformed.
            probability: Probability of each image to be chosen, in [0, 1].
        """
        return self.draw(images, shape=(1, 1, 1)) < probability

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "seed": self.seed}


class Resampling(ImageView):
    """An image view that moves objects. It reads between pixels and outside the image.

    Args:
        fill_mode: "nearest" repeats the border outside the image; "constant" fills it
            with zeros.
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.
    """

    moves = True

    def __init__(
        self, fill_mode: str = "nearest", seed: int | None = None, **kwargs: Any
    ):
        super().__init__(seed=seed, **kwargs)
        self.fill_mode = choice("fill_mode", fill_mode, FILL_MODES)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "fill_mode": self.fill_mode}
