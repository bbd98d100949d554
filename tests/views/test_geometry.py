"""Movements of images against NumPy loops, literal cases and known surfaces."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune import views
from keras_invprune.views.geometry import rotate

HEIGHT, WIDTH = 7, 9


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_images(batch=3, height=HEIGHT, width=WIDTH, channels=2):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, height, width, channels)).astype("float32")


def ramps(batch, height, width):
    """Images whose pixels hold their own row and column, so that moves show."""
    grid = np.stack(np.mgrid[:height, :width], axis=-1).astype("float32")
    return np.repeat(grid[None], batch, axis=0)


def read(image, row, column, fill_mode):
    """One bilinear reading of a [height, width] image, by the definition."""
    height, width = image.shape
    value = 0.0
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            if fill_mode == "nearest":
                value += (
                    weight
                    * image[min(max(i, 0), height - 1)][min(max(j, 0), width - 1)]
                )
            elif 0 <= i < height and 0 <= j < width:
                value += weight * image[i][j]
    return value


def warp(images, source, fill_mode):
    """Every output pixel read at `source(row, column)`, pixel by pixel."""
    result = np.zeros_like(images)
    for b, i, j, c in np.ndindex(images.shape):
        result[b, i, j, c] = read(images[b, :, :, c], *source(i, j), fill_mode)
    return result


@pytest.mark.parametrize(
    ("fill_mode", "compiled"),
    [("nearest", False), ("constant", False), ("nearest", True)],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda **kwargs: views.RandomResizedCrop(scale=(1, 1), **kwargs),
        lambda **kwargs: views.RandomShift(0, **kwargs),
        lambda **kwargs: views.RandomScale((1, 1), **kwargs),
        lambda **kwargs: views.RandomRotation(0, **kwargs),
    ],
    ids=["crop", "shift", "scale", "rotation"],
)
def test_nothing_to_move_returns_the_input_exactly(make, fill_mode, compiled):
    view = make(fill_mode=fill_mode)
    x = random_images()
    y = tf.function(view, jit_compile=True)(x) if compiled else view(x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize("factor", [2.0, 0.75])
def test_zoom_against_loops(factor, fill_mode):
    x = random_images()
    y = views.RandomScale((factor, factor), fill_mode=fill_mode)(x)

    def source(i, j):
        middle = (HEIGHT - 1) / 2, (WIDTH - 1) / 2
        return tuple((p - m) / factor + m for p, m in zip((i, j), middle, strict=True))

    np.testing.assert_allclose(y, warp(x, source, fill_mode), atol=1e-5)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize("degrees", [-12.0, 7.0, 100.0])
def test_rotation_against_loops(degrees, fill_mode):
    x, angle = random_images(), math.radians(degrees)
    y = rotate(x, np.full(3, angle, "float32"), fill_mode)

    def source(i, j):
        up, right = (HEIGHT - 1) / 2 - i, j - (WIDTH - 1) / 2
        # The point that a counter-clockwise turn brings to (right, up).
        across = right * math.cos(angle) + up * math.sin(angle)
        along = up * math.cos(angle) - right * math.sin(angle)
        return (HEIGHT - 1) / 2 - along, (WIDTH - 1) / 2 + across

    np.testing.assert_allclose(y, warp(x, source, fill_mode), atol=1e-4)


def test_rotation_of_a_smooth_surface():
    # f = exp(-d^2 / 2 s^2) around a point that the turn must carry along.
    size, spread, angle = 41, 5.0, math.radians(15)
    row, column = np.mgrid[:size, :size] - (size - 1) / 2

    def bump(right, up):
        distance = (column - right) ** 2 + (-row - up) ** 2
        return np.exp(-distance / (2 * spread**2)).astype("float32")

    y = rotate(bump(8, 0)[None, :, :, None], np.array([angle], "float32"))
    expected = bump(8 * math.cos(angle), 8 * math.sin(angle))
    inside = np.hypot(row, column) <= (size - 1) / 2
    error = np.abs(array(y)[0, :, :, 0] - expected)[inside]
    # Bilinear reading errs by at most (|f_xx| + |f_yy|) / 8, here 2 / (8 s^2).
    assert error.max() < 0.25 / spread**2


def test_a_quarter_turn_is_counter_clockwise():
    x = random_images(height=6, width=6)
    y = rotate(x, np.full(3, math.pi / 2, "float32"))
    np.testing.assert_allclose(y, np.rot90(x, axes=(1, 2)), atol=1e-5)


def test_each_image_turns_by_its_own_angle_within_the_limit():
    y = array(views.RandomRotation(20.0, seed=1)(ramps(400, 21, 21)))
    # Rows grow by cos a downwards and by sin a to the right.
    angles = np.degrees(
        np.arctan2(y[:, 10, 11, 0] - y[:, 10, 9, 0], y[:, 11, 10, 0] - y[:, 9, 10, 0])
    )
    assert np.abs(angles).max() <= 20.01
    assert angles.min() < -15 and angles.max() > 15
    assert abs(angles.mean()) < 4 * 40 / math.sqrt(12 * 400)


def test_shifts_are_uniform_shares_of_height_and_width():
    y = array(views.RandomShift(0.25, seed=1)(ramps(400, 16, 32)))
    shifts = np.array([8, 16]) - y[:, 8, 16]
    assert np.all(np.abs(shifts) <= np.array([4, 8]) + 1e-4)
    assert np.all(shifts.min(axis=0) < [-3.5, -7])
    assert np.all(shifts.max(axis=0) > [3.5, 7])
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.2


def test_zooms_are_isotropic_and_within_the_factors():
    y = array(views.RandomScale((0.5, 2), seed=1)(ramps(400, 16, 32)))
    factors = 1 / (y[:, 8, 16] - y[:, 7, 15])
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-4)
    assert 0.5 <= factors.min() + 1e-4 and factors.max() - 1e-4 <= 2
    assert factors.min() < 0.6 and factors.max() > 1.9


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_flips_mirror_the_chosen_share_of_images(direction, axis):
    x = random_images(batch=400)
    y = array(views.RandomFlip(direction, probability=0.3, seed=1)(x))
    mirrored = np.all(y == np.flip(x, axis), axis=(1, 2, 3))
    kept = np.all(y == x, axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    assert mirrored.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 400))


def test_flips_of_all_and_of_none():
    x = random_images()
    np.testing.assert_array_equal(
        views.RandomFlip(probability=1)(x), np.flip(x, axis=2)
    )
    np.testing.assert_array_equal(views.RandomFlip(probability=0)(x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.RandomShift(12.5), r"\[0, 1\].*Did you mean 0.125\?"),
        (lambda: views.RandomShift(-0.1), r"`fraction` must be in \[0, 1\]"),
        (lambda: views.RandomScale((1.2, 0.8)), "`factor` must be a pair"),
        (lambda: views.RandomRotation(270), r"`degrees` must be in \[0, 180\]"),
        (lambda: views.RandomFlip("both"), "`direction` must be one of"),
        (lambda: views.RandomFlip(probability=50), r"Did you mean 0.5\?"),
        (lambda: views.RandomShift(fill_mode="wrap"), "`fill_mode` must be one of"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
