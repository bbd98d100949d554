"""Small random movements of images: shift, scale, rotation, flip."""

import math
from typing import Any

import keras
from keras import ops

from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import choice, interval, number
from keras_invprune.views.image_view import ImageView, Resampling
from keras_invprune.views.resampling import resample_axes, resample_points


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomShift(Resampling):
    """Moves each image by U(-fraction, fraction) of its height and of its width.

    Shifts are not rounded to whole pixels.

    Args:
        fraction: Largest shift, a share of the side in [0, 1].
        fill_mode: "nearest" or "constant".
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomShift(0.1)(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `fraction` is outside [0, 1], or if `fill_mode` is unknown.
    """

    def __init__(
        self,
        fraction: float = 0.125,
        fill_mode: str = "nearest",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(fill_mode=fill_mode, seed=seed, **kwargs)
        self.fraction = number("fraction", fraction)

    def transform(self, images: Tensor) -> Tensor:
        """Return the shifted images."""
        rows, columns = (
            ops.arange(size, dtype="float32")
            - self.draw(images, -self.fraction, self.fraction, shape=(1,))
            * ops.cast(size, "float32")
            for size in ops.shape(images)[1:3]
        )
        return resample_axes(images, rows, columns, self.fill_mode)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "fraction": self.fraction}


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomScale(Resampling):
    """Zooms each image around its center, by the same factor in both axes.

    Args:
        factor: (low, high), positive ends of the uniform interval from which factors
            are drawn. A factor above 1 enlarges objects.
        fill_mode: "nearest" or "constant".
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomScale((0.9, 1.1))(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `factor` is not such a pair, or if `fill_mode` is unknown.
    """

    def __init__(
        self,
        factor: tuple[float, float] = (0.8, 1.2),
        fill_mode: str = "nearest",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(fill_mode=fill_mode, seed=seed, **kwargs)
        self.factor = interval("factor", factor)

    def transform(self, images: Tensor) -> Tensor:
        """Return the zoomed images."""
        low, high = self.factor
        factors = self.draw(images, low, high, shape=(1,))
        rows, columns = (
            _centred(size) / factors + _middle(size) for size in ops.shape(images)[1:3]
        )
        return resample_axes(images, rows, columns, self.fill_mode)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomRotation(Resampling):
    """Rotates each image around its center by U(-degrees, degrees).

    Args:
        degrees: Largest angle in degrees, in [0, 180]. Positive angles are
            counter-clockwise.
        fill_mode: "nearest" or "constant".
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomRotation(10.0)(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `degrees` is outside [0, 180], or if `fill_mode` is unknown.
    """

    def __init__(
        self,
        degrees: float = 15.0,
        fill_mode: str = "nearest",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(fill_mode=fill_mode, seed=seed, **kwargs)
        self.degrees = number("degrees", degrees, upper=180)

    def transform(self, images: Tensor) -> Tensor:
        """Return the rotated images."""
        limit = math.radians(self.degrees)
        return rotate(images, self.draw(images, -limit, limit), self.fill_mode)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "degrees": self.degrees}


def rotate(images: Tensor, angles: Tensor, fill_mode: str = "nearest") -> Tensor:
    """Rotate each image counter-clockwise around its center.

    Let (y, x) be an output pixel's offset from the center, with y downwards. Its value
    is read at the offset `(x sin a + y cos a, x cos a - y sin a)`.

    Args:
        images: Shape [batch, height, width, channels].
        angles: Angles a in radians, shape [batch].
        fill_mode: "nearest" or "constant".

    Returns:
        Images of the same shape.
    """
    _, height, width, _ = ops.shape(images)
    y, x = _centred(height)[:, None], _centred(width)
    sine, cosine = (f(angles)[:, None, None] for f in (ops.sin, ops.cos))
    rows = x * sine + y * cosine + _middle(height)
    columns = x * cosine - y * sine + _middle(width)
    return resample_points(images, rows, columns, fill_mode)


def _centred(size: int) -> Tensor:
    """Return the offsets of `size` pixels from their common center."""
    return ops.arange(size, dtype="float32") - _middle(size)


def _middle(size: int) -> Tensor:
    """Return the coordinate of the center of `size` pixels."""
    return (ops.cast(size, "float32") - 1) / 2


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomFlip(ImageView):
    """Mirrors each image with the given probability.

    Args:
        direction: "horizontal" swaps left and right, "vertical" top and bottom.
        probability: Share of the images that are mirrored, in [0, 1].
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomFlip("horizontal")(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `direction` is unknown or `probability` is outside [0, 1].
    """

    moves = True

    def __init__(
        self,
        direction: str = "horizontal",
        probability: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        self.direction = choice("direction", direction, ("horizontal", "vertical"))
        self.probability = number("probability", probability)

    def transform(self, images: Tensor) -> Tensor:
        """Return the images, some of them mirrored."""
        flipped = ops.flip(images, axis=2 if self.direction == "horizontal" else 1)
        return ops.where(self.chosen(images, self.probability), flipped, images)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {
            **super().get_config(),
            "direction": self.direction,
            "probability": self.probability,
        }
