"""Colors against the four classic steps, written one by one in NumPy."""

import itertools
import math

import keras
import numpy as np
import pytest

from keras_invprune import views
from keras_invprune.views.color import jitter

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_images(batch=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, 5, 6, 3)).astype("float32")


def gray(images):
    return (images @ YIQ[0])[..., None]


def brighten(images, factor):
    return factor * images


def contrast(images, factor):
    mean = gray(images).mean(axis=(1, 2), keepdims=True)
    return factor * images + (1 - factor) * mean


def saturate(images, factor):
    return factor * images + (1 - factor) * gray(images)


def turn_hue(images, turn):
    sine, cosine = math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
    rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return images @ (np.linalg.inv(YIQ) @ rotation @ YIQ).T


STEPS = [(brighten, 1.3), (contrast, 0.7), (saturate, 1.4), (turn_hue, 0.09)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_jitter_equals_the_four_steps_in_any_order(order):
    x = random_images()
    expected = x.astype("float64")
    for index in order:
        step, amount = STEPS[index]
        expected = step(expected, amount)
    np.testing.assert_allclose(jitter(x, 1.3, 0.7, 1.4, 0.09), expected, atol=1e-5)


def test_jitter_of_strength_zero_keeps_the_images():
    x = random_images()
    np.testing.assert_allclose(jitter(x, 1.0, 1.0, 1.0, 0.0), x, atol=1e-6)
    view = views.RandomColorJitter(0, 0, 0, 0, probability=1)
    np.testing.assert_allclose(view(x), x, atol=1e-6)


def test_red_by_hand():
    red = np.array([1, 0, 0], "float32").reshape(1, 1, 1, 3)
    half = jitter(red, 0.5, 1.0, 1.0, 0.0)
    np.testing.assert_allclose(array(half).ravel(), [0.5, 0, 0], atol=1e-6)
    faded = jitter(red, 1.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(array(faded).ravel(), [0.299] * 3, atol=1e-6)


def test_gray_stays_gray_and_hue_keeps_luminance():
    flat = np.repeat(random_images()[..., :1], 3, axis=-1)
    np.testing.assert_allclose(jitter(flat, 1.0, 1.0, 1.7, 0.3), flat, atol=1e-5)
    x = random_images()
    turned = array(jitter(x, 1.0, 1.0, 1.0, 0.25))
    np.testing.assert_allclose(gray(turned), gray(x), atol=1e-5)
    assert np.abs(turned - x).max() > 0.5


def test_factors_are_uniform_around_one():
    x = np.ones((500, 2, 2, 3), "float32")
    view = views.RandomColorJitter(0.4, 0, 0, 0, probability=1, seed=1)
    factors = array(view(x))[:, 0, 0, 0]
    assert 0.6 - 1e-5 <= factors.min() < 0.63
    assert 1.37 < factors.max() <= 1.4 + 1e-5


def test_a_strength_above_one_never_inverts_the_image():
    view = views.RandomColorJitter(2.0, 0, 0, 0, probability=1, seed=1)
    assert array(view(np.ones((200, 2, 2, 3), "float32"))).min() >= 0


@pytest.mark.parametrize(
    "make", [views.RandomColorJitter, views.RandomGrayscale], ids=lambda f: f.__name__
)
def test_images_that_are_not_chosen_stay_exactly_as_they_are(make):
    x = random_images(batch=300)
    np.testing.assert_array_equal(make(probability=0.0)(x), x)
    kept = np.all(array(make(probability=0.6, seed=1)(x)) == x, axis=(1, 2, 3))
    assert kept.mean() == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 300))


def test_values_are_clipped_only_on_request():
    x = random_images()
    free = array(views.RandomColorJitter(probability=1, seed=1)(x))
    clipped = views.RandomColorJitter(probability=1, value_range=(-1, 1), seed=1)(x)
    assert np.abs(free).max() > 1
    np.testing.assert_array_equal(clipped, np.clip(free, -1, 1))


def test_grayscale_is_luminance_in_all_channels():
    x = random_images()
    y = views.RandomGrayscale(probability=1)(x)
    np.testing.assert_allclose(y, np.repeat(gray(x), 3, axis=-1), atol=1e-6)


@pytest.mark.parametrize(
    "view", [views.RandomColorJitter(), views.RandomGrayscale(), views.natural_images()]
)
def test_images_without_colors_are_refused(view):
    with pytest.raises(ValueError, match=r"3 channels.*shape=\(2, 4, 4, 1\)"):
        view(np.zeros((2, 4, 4, 1), "float32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"brightness": -1},
            "`brightness` must be at least 0. Received: brightness=-1",
        ),
        ({"hue": 0.7}, r"`hue` must be in \[0, 0.5\]"),
        ({"probability": 80}, r"Did you mean 0.8\?"),
        ({"value_range": (1, 0)}, "`value_range` must be a pair"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        views.RandomColorJitter(**arguments)


def test_the_natural_preset_is_the_published_recipe():
    crop, flip, color, lose_color = views.natural_images().layers
    assert crop.scale == (0.2, 1.0)
    assert (flip.direction, flip.probability) == ("horizontal", 0.5)
    strengths = (color.brightness, color.contrast, color.saturation, color.hue)
    assert strengths == (0.4, 0.4, 0.4, 0.1)
    assert (color.probability, lose_color.probability) == (0.8, 0.2)
