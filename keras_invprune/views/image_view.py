"""What the random image layers share."""

import keras
from keras import ops

from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import choice
from keras_invprune.views._draws import uniform
from keras_invprune.views.resampling import FILL_MODES


class ImageView(keras.layers.Layer):
    """A layer that draws one random transformation for each image.

    It is active in training and in inference alike: a view is the subject of the
    objective, not a regularizer. Subclasses implement `transform`.

    Args:
        seed: integer, or None for a stream that differs from run to run.
        **kwargs: keywords of `keras.layers.Layer`. `dtype` is "float32" unless
            given, under mixed precision as well.
    """

    rank = 4
    """Rank of the input, for `check_views`."""
    moves = False
    """Whether things come to another place in the image, see `pairs.moves`."""

    def __init__(self, seed: int | None = None, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Tensor):
        """Returns a random version of each image, of the same shape.

        Args:
            images: [batch, height, width, channels], of any float or integer
                dtype. Values are kept as they are: nothing is divided by 255.

        Raises:
            ValueError: if `images` is not of rank 4.
        """
        if len(images.shape) != self.rank:
            raise ValueError(
                f"{type(self).__name__} takes images of shape [batch, height, "
                f"width, channels]. Received: shape={tuple(images.shape)}. Add the "
                "missing axes with `keras.ops.expand_dims`."
            )
        return self.transform(ops.cast(images, self.compute_dtype))

    def transform(self, images: Tensor):
        """Returns a random version of each image.

        Args:
            images: [batch, height, width, channels], of the compute dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `transform`.")

    def draw(
        self, images: Tensor, low: float = 0.0, high: float = 1.0, shape: tuple = ()
    ):
        """Returns U(low, high) for each image: float32, [batch, *shape].

        Args:
            images: the batch that is being transformed.
            low: lower end of the interval.
            high: upper end of the interval.
            shape: shape of the numbers wanted for one image.
        """
        shape = (ops.shape(images)[0], *shape)
        return uniform(shape, low, high, self.seed_generator)

    def chosen(self, images: Tensor, probability: float):
        """Returns which images a coin falls on: bool, [batch, 1, 1, 1].

        Args:
            images: the batch that is being transformed.
            probability: share of the images to choose, in [0, 1].
        """
        return self.draw(images, shape=(1, 1, 1)) < probability

    def get_config(self):
        """Returns what `from_config` needs to build the layer again."""
        return {**super().get_config(), "seed": self.seed}


class Resampling(ImageView):
    """An image view that moves things: it reads between pixels, and past the border.

    Args:
        fill_mode: "nearest" repeats the border outside the image; "constant" has
            zeros there.
        seed: integer, or None for a stream that differs from run to run.
        **kwargs: keywords of `keras.layers.Layer`.
    """

    moves = True

    def __init__(self, fill_mode: str = "nearest", seed: int | None = None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.fill_mode = choice("fill_mode", fill_mode, FILL_MODES)

    def get_config(self):
        """Returns what `from_config` needs to build the layer again."""
        return {**super().get_config(), "fill_mode": self.fill_mode}
