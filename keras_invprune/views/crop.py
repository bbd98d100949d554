"""The random resized crop, the strongest of the movements."""

import math
from typing import Any

import keras
from keras import ops

from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import interval
from keras_invprune.views.image_view import Resampling
from keras_invprune.views.resampling import resample_axes

ATTEMPTS = 10


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomResizedCrop(Resampling):
    """Crops a random box from each image and resizes it to the size of the image.

    The box has a share U(scale) of the area and a width-to-height ratio of
    exp(U(log ratio)). Both are drawn up to ten times, until the box fits into the
    image. If none fits, the box is the largest central one of an allowed ratio. Its
    sides and its position are not rounded to whole pixels.

    Args:
        scale: (low, high), shares of the image's area, in (0, 1].
        ratio: (low, high), positive ratios of the box's width to its height.
        fill_mode: "nearest" or "constant", used for the half pixel outside the box
            where it touches the border.
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomResizedCrop(scale=(0.5, 1.0))(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `scale` or `ratio` is not such a pair, or if `fill_mode` is
            unknown.

    Source:
        Szegedy et al. 2015, Going deeper with convolutions, section 6. The number of
        attempts and the central box are torchvision's.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        fill_mode: str = "nearest",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(fill_mode=fill_mode, seed=seed, **kwargs)
        self.scale = interval("scale", scale, upper=1)
        self.ratio = interval("ratio", ratio)

    def transform(self, images: Tensor) -> Tensor:
        """Return each image's box, resized to the size of the image."""
        _, height, width, _ = ops.shape(images)
        low, high = self.scale
        shares = self.draw(images, low, high, shape=(ATTEMPTS,))
        low, high = map(math.log, self.ratio)
        ratios = ops.exp(self.draw(images, low, high, shape=(ATTEMPTS,)))
        *sides, fits = box_sides(shares, ratios, (height, width), self.ratio)
        rows, columns = (
            _window(size, side, ops.where(fits, self.draw(images), 0.5))
            for size, side in zip((height, width), sides, strict=True)
        )
        return resample_axes(images, rows, columns, self.fill_mode)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "scale": self.scale, "ratio": self.ratio}


def box_sides(
    shares: Tensor, ratios: Tensor, size: tuple[int, int], allowed: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the height and width of each crop box, from the first attempt that fits.

    Args:
        shares: Attempted shares of the image's area, [batch, attempts].
        ratios: Attempted ratios of width to height, [batch, attempts].
        size: (height, width) of the image in pixels.
        allowed: (low, high), the ratios allowed for the central box if none fits.

    Returns:
        Heights and widths in pixels, and whether an attempt fits, [batch] each.
    """
    height, width = (ops.cast(side, shares.dtype) for side in size)
    # w = sqrt(share H W ratio), h = sqrt(share H W / ratio)
    widths = ops.sqrt(shares * height * width * ratios)
    heights = ops.sqrt(shares * height * width / ratios)
    fits = (widths <= width) & (heights <= height)
    first = ops.argmax(ops.cast(fits, "int32"), axis=1)[:, None]
    fits = ops.any(fits, axis=1)
    central_width = ops.minimum(width, height * allowed[1])
    central_height = ops.minimum(height, width / allowed[0])
    return (
        ops.where(fits, ops.take_along_axis(heights, first, 1)[:, 0], central_height),
        ops.where(fits, ops.take_along_axis(widths, first, 1)[:, 0], central_width),
        fits,
    )


def _window(size: int, sides: Tensor, places: Tensor) -> Tensor:
    """Return the source coordinates of `size` pixels in each box: [batch, size]."""
    centers = ops.arange(size, dtype="float32") + 0.5
    size = ops.cast(size, "float32")
    starts = places * (size - sides)
    return centers * (sides / size)[:, None] + starts[:, None] - 0.5
