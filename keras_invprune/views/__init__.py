"""Views are random versions of the same example, for the invariance objective."""

from keras_invprune.views.color import RandomColorJitter, RandomGrayscale
from keras_invprune.views.crop import RandomResizedCrop
from keras_invprune.views.geometry import (
    RandomFlip,
    RandomRotation,
    RandomScale,
    RandomShift,
)
from keras_invprune.views.pairs import (
    are_compilable,
    check_views,
    default_views,
    positive_pair,
)
from keras_invprune.views.presets import images, natural_images
from keras_invprune.views.rows import ScarfCorruption

__all__ = [
    "RandomColorJitter",
    "RandomFlip",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomScale",
    "RandomShift",
    "ScarfCorruption",
    "are_compilable",
    "check_views",
    "default_views",
    "images",
    "natural_images",
    "positive_pair",
]
