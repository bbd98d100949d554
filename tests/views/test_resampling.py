"""Resampling against literal cases, and one way of it against the other."""

import keras
import numpy as np
import pytest

from keras_invprune.views.resampling import resample_axes, resample_points


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(
    ("fill_mode", "expected"),
    [
        ("nearest", [[1, 1, 2], [1, 1, 2], [4, 4, 5]]),
        ("constant", [[0, 0, 0], [0, 1, 2], [0, 4, 5]]),
    ],
)
def test_a_shift_by_one_pixel(fill_mode, expected):
    image = np.arange(1.0, 10, dtype="float32").reshape(1, 3, 3, 1)
    coordinates = np.array([[-1, 0, 1]], "float32")
    y = resample_axes(image, coordinates, coordinates, fill_mode)
    np.testing.assert_array_equal(array(y)[0, :, :, 0], expected)


@pytest.mark.parametrize(
    ("fill_mode", "expected"),
    [("nearest", [1, 1, 1.5, 2, 2]), ("constant", [0, 0.5, 1.5, 1, 0])],
)
def test_between_pixels_and_beyond_the_border(fill_mode, expected):
    image = np.array([1, 2], "float32").reshape(1, 1, 2, 1)
    columns = np.array([[-2, -0.5, 0.5, 1.5, 3]], "float32")
    y = resample_axes(image, np.zeros((1, 1), "float32"), columns, fill_mode)
    np.testing.assert_array_equal(array(y).ravel(), expected)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
def test_both_ways_of_resampling_agree(fill_mode):
    rng = np.random.default_rng(1)
    rows = rng.uniform(-2, 8, (3, 7)).astype("float32")
    columns = rng.uniform(-2, 10, (3, 9)).astype("float32")
    points = (
        np.repeat(rows[:, :, None], 9, axis=2),
        np.repeat(columns[:, None], 7, axis=1),
    )
    x = rng.normal(size=(3, 7, 9, 2)).astype("float32")
    np.testing.assert_allclose(
        resample_axes(x, rows, columns, fill_mode),
        resample_points(x, *points, fill_mode),
        atol=1e-5,
    )
