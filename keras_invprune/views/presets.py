"""Ready-made views of images."""

import keras
import numpy as np

from keras_invprune.arguments import check_seed
from keras_invprune.views.color import RandomColorJitter, RandomGrayscale
from keras_invprune.views.crop import RandomResizedCrop
from keras_invprune.views.geometry import (
    RandomFlip,
    RandomRotation,
    RandomScale,
    RandomShift,
)


def images(seed: int | None = None) -> keras.layers.Pipeline:
    """Return small movements: shift (a tenth), scale (a tenth), rotation (10 degrees).

    They preserve the meaning of digits, letters and symbols: nothing is cropped or
    mirrored, and colors do not change.

    Args:
        seed: Integer of at least 0, or None for different draws in each run.

    Returns:
        A `keras.layers.Pipeline`: [batch, height, width, channels] in, same out.

    Example:
        >>> images(seed=0)(np.random.rand(4, 28, 28, 1)).shape
        TensorShape([4, 28, 28, 1])

    Raises:
        ValueError: If `seed` is not None and not such an integer.
    """
    shift, scale, rotation = _seeds(seed, 3)
    return keras.layers.Pipeline(
        [
            RandomShift(0.1, seed=shift),
            RandomScale((0.9, 1.1), seed=scale),
            RandomRotation(10.0, seed=rotation),
        ]
    )


def natural_images(seed: int | None = None) -> keras.layers.Pipeline:
    """Return SimCLR's views of photographs: crop, flip, color jitter, grayscale.

    Images need three channels, with values from 0 to 255, from 0 to 1, or standardized.

    Args:
        seed: Integer of at least 0, or None for different draws in each run.

    Returns:
        A `keras.layers.Pipeline`: [batch, height, width, 3] in, same out.

    Example:
        >>> natural_images(seed=0)(np.random.rand(4, 32, 32, 3)).shape
        TensorShape([4, 32, 32, 3])

    Raises:
        ValueError: If `seed` is not None and not such an integer.

    Source:
        Chen et al. 2020, A simple framework for contrastive learning of visual
        representations, with the strengths used in "Neural network pruning for
        invariance learning" for CIFAR and SVHN.
    """
    crop, flip, jitter, gray = _seeds(seed, 4)
    return keras.layers.Pipeline(
        [
            RandomResizedCrop(scale=(0.2, 1.0), seed=crop),
            RandomFlip("horizontal", probability=0.5, seed=flip),
            RandomColorJitter(0.4, 0.4, 0.4, 0.1, probability=0.8, seed=jitter),
            RandomGrayscale(probability=0.2, seed=gray),
        ]
    )


def _seeds(seed: int | None, count: int) -> list[int | None]:
    """Return different seeds, so that layers do not draw the same numbers."""
    if seed is None:
        return [None] * count
    check_seed(seed)
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(count)]
