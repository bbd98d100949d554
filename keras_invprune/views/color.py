"""Random changes of color, which are linear in the pixels.

Since they are linear, they need no value range and also work on standardized images,
where the mean of the data replaces black. Without clipping, the four steps of the
jitter commute, so one order is enough.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import interval, number
from keras_invprune.views.image_view import ImageView

# Rows Y, I, Q of the NTSC color space: brightness and two axes of color.
RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)
# Rotates the color by a quarter turn, from I to Q, and removes the brightness.
QUARTER_TURN = (
    np.linalg.inv(RGB_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ RGB_TO_YIQ
)


def luminance(images: Tensor) -> Tensor:
    """Return the luminance Y = .299 R + .587 G + .114 B.

    Args:
        images: Shape [..., 3].

    Returns:
        Shape [..., 1].
    """
    weights = ops.convert_to_tensor(RGB_TO_YIQ[0], dtype=images.dtype)
    return ops.sum(images * weights, axis=-1, keepdims=True)


def jitter(
    images: Tensor,
    brightness: Tensor,
    contrast: Tensor,
    saturation: Tensor,
    hue: Tensor,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image.

    That is::

        c = x - Y(x)                          color
        z = Y(x) + saturation * (cos(2 pi hue) c + sin(2 pi hue) c_turned)
        y = brightness * (mean(Y) + contrast * (z - mean(Y)))

    Args:
        images: Shape [batch, height, width, 3].
        brightness: Factor of all values, broadcast to `images`; 1 keeps them.
        contrast: Factor of the difference from the image's mean luminance.
        saturation: Factor of the difference from the pixel's luminance.
        hue: Rotation in full turns of the color circle; 0 keeps the hue.

    Returns:
        Images of the same shape.
    """
    gray = luminance(images)
    color = images - gray
    quarter = ops.convert_to_tensor(QUARTER_TURN.T, dtype=images.dtype)
    turned = ops.matmul(color, quarter)
    angle = 2 * math.pi * hue
    images = gray + saturation * (ops.cos(angle) * color + ops.sin(angle) * turned)
    mean = ops.mean(gray, axis=(1, 2), keepdims=True)
    return brightness * (mean + contrast * (images - mean))


class ColorView(ImageView):
    """A view of images with three channels, applied to some of them.

    Args:
        probability: Share of the images that are changed, in [0, 1].
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.
    """

    def __init__(self, probability: float, seed: int | None = None, **kwargs: Any):
        super().__init__(seed=seed, **kwargs)
        self.probability = number("probability", probability)

    def transform(self, images: Tensor) -> Tensor:
        """Return the images, some of them recolored.

        Raises:
            ValueError: If the images do not have three channels.
        """
        if images.shape[-1] != 3:
            raise ValueError(
                f"{type(self).__name__} needs images with 3 channels (red, green, "
                f"blue). Received: shape={tuple(images.shape)}. Do not use it for "
                "images without color."
            )
        changed = self.recolor(images)
        return ops.where(self.chosen(images, self.probability), changed, images)

    def recolor(self, images: Tensor) -> Tensor:
        """Return all images recolored.

        Args:
            images: [batch, height, width, 3], of the compute dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `recolor`.")

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomColorJitter(ColorView):
    """Changes brightness, contrast, saturation and hue of some images.

    Factors are drawn from U(max(0, 1 - s), 1 + s) for a strength s, and the rotation of
    the hue from U(-hue, hue). See `jitter` for the formula.

    Args:
        brightness: Strength s of the brightness, at least 0.
        contrast: Strength s of the contrast, at least 0.
        saturation: Strength s of the saturation, at least 0.
        hue: Largest rotation in full turns of the color circle, in [0, 0.5].
        probability: Share of the images that are changed, in [0, 1].
        value_range: None, or (low, high) to clip the result to.
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomColorJitter(0.4, 0.4, 0.4, 0.1)(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If a strength, `hue`, `probability` or `value_range` is outside
            its range.

    Source:
        Chen et al. 2020, A simple framework for contrastive learning of visual
        representations, appendix A. There the hue is rotated in HSV, and values are
        clipped after each step.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        probability: float = 0.8,
        value_range: tuple[float, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(probability, seed=seed, **kwargs)
        self.brightness = number("brightness", brightness, upper=math.inf)
        self.contrast = number("contrast", contrast, upper=math.inf)
        self.saturation = number("saturation", saturation, upper=math.inf)
        self.hue = number("hue", hue, upper=0.5)
        if value_range is not None:
            value_range = interval("value_range", value_range, lower=-math.inf)
        self.value_range = value_range

    def recolor(self, images: Tensor) -> Tensor:
        """Return all images with jittered colors."""
        strengths = (self.brightness, self.contrast, self.saturation)
        bounds = [(max(0.0, 1 - s), 1 + s) for s in strengths]
        drawn = (
            ops.cast(self.draw(images, *ends, shape=(1, 1, 1)), images.dtype)
            for ends in (*bounds, (-self.hue, self.hue))
        )
        images = jitter(images, *drawn)
        return ops.clip(images, *self.value_range) if self.value_range else images

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to rebuild the layer."""
        return {
            **super().get_config(),
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
            "value_range": self.value_range,
        }


@keras.saving.register_keras_serializable(package="keras_invprune")
class RandomGrayscale(ColorView):
    """Replaces the three channels of some images by their luminance.

    Args:
        probability: Share of the images that lose their color, in [0, 1].
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`.

    Example:
        >>> images = np.random.rand(4, 8, 8, 3)
        >>> RandomGrayscale(probability=0.2)(images).shape
        TensorShape([4, 8, 8, 3])

    Raises:
        ValueError: If `probability` is outside [0, 1].
    """

    def __init__(
        self, probability: float = 0.2, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(probability, seed=seed, **kwargs)

    def recolor(self, images: Tensor) -> Tensor:
        """Return all images without color."""
        return ops.broadcast_to(luminance(images), ops.shape(images))
