"""Views of the search, by the names that recipes and the command line use."""

from keras_invprune import views

VIEWS = {
    "natural_images": views.natural_images,
    "images": views.images,
    "original+natural_images": lambda seed: (None, views.natural_images(seed)),
    "original+images": lambda seed: (None, views.images(seed)),
    "scarf": lambda seed: (None, views.ScarfCorruption(seed=seed)),
}
