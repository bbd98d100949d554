"""The law of the crop boxes, read off images that hold their own coordinates."""

import math

import keras
import numpy as np
import pytest

from keras_invprune import views
from keras_invprune.views.crop import box_sides


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def ramps(batch, height, width):
    """Images whose pixels hold their own row and column, so that moves show."""
    grid = np.stack(np.mgrid[:height, :width], axis=-1).astype("float32")
    return np.repeat(grid[None], batch, axis=0)


def boxes(scale, ratio, height, width, count):
    """Heights, widths and places of crop boxes, read off ramps."""
    view = views.RandomResizedCrop(scale, ratio, seed=1)
    y = array(view(ramps(count, height, width))).astype("float64")
    middle = y[:, height // 2, width // 2]
    steps = middle - y[:, height // 2 - 1, width // 2 - 1]
    starts = middle + 0.5 - steps * (np.array([height, width]) // 2 + 0.5)
    return steps * [height, width], starts


def reference_box(rng, scale, ratio, height, width):
    """Rejection sampling of one box, with the sides left unrounded."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        sides = math.sqrt(area / aspect), math.sqrt(area * aspect)
        if sides[0] <= height and sides[1] <= width:
            return sides
    aspect = min(max(width / height, ratio[0]), ratio[1])
    return min(height, width / aspect), min(width, height * aspect)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_crop_boxes_follow_the_law_of_the_reference(height, width):
    scale, ratio, count = (0.2, 1.0), (3 / 4, 4 / 3), 2000
    sides, starts = boxes(scale, ratio, height, width, count)
    shares = sides.prod(axis=1) / (height * width)
    aspects = sides[:, 1] / sides[:, 0]
    assert 0.2 - 1e-3 <= shares.min() and shares.max() <= 1 + 1e-3
    assert 3 / 4 - 1e-3 <= aspects.min() and aspects.max() <= 4 / 3 + 1e-3
    assert np.all(starts > -1e-3)
    assert np.all(starts + sides < np.array([height, width]) + 1e-3)
    rng = np.random.default_rng(2)
    expected = np.array(
        [reference_box(rng, scale, ratio, height, width) for _ in range(count)]
    )
    error = np.sqrt(2 / count) * expected.std(axis=0)
    np.testing.assert_array_less(
        np.abs(sides.mean(axis=0) - expected.mean(axis=0)), 4 * error
    )
    assert sides.std(axis=0) == pytest.approx(expected.std(axis=0), rel=0.1)


def test_crop_places_are_uniform_where_there_is_room():
    sides, starts = boxes((0.25, 0.25), (1, 1), 16, 16, 500)
    np.testing.assert_allclose(sides, 8, atol=1e-3)
    assert np.all(starts.min(axis=0) < 0.3) and np.all(starts.max(axis=0) > 7.7)
    assert starts.mean(axis=0) == pytest.approx([4, 4], abs=0.5)


def test_the_first_box_that_fits_is_taken():
    shares = np.array([[1.0, 0.25, 0.5], [1.0, 1.0, 1.0]], "float32")
    ratios = np.array([[4.0, 1.0, 1.0], [4.0, 4.0, 4.0]], "float32")
    heights, widths, fits = box_sides(shares, ratios, (8, 8), (3 / 4, 4 / 3))
    np.testing.assert_array_equal(heights, [4, 8])
    np.testing.assert_array_equal(widths, [4, 8])
    np.testing.assert_array_equal(fits, [True, False])


@pytest.mark.parametrize(
    ("size", "expected"), [((6, 30), (6, 8)), ((30, 6), (8, 6)), ((6, 7), (6, 7))]
)
def test_without_a_fitting_box_the_central_one_has_an_allowed_ratio(size, expected):
    shares, ratios = np.ones((1, 2), "float32"), np.full((1, 2), 50, "float32")
    *sides, fits = box_sides(shares, ratios, size, (3 / 4, 4 / 3))
    np.testing.assert_allclose(np.ravel(sides), expected, rtol=1e-6)
    assert not fits[0]


def test_without_a_fitting_box_the_centre_is_taken():
    sides, starts = boxes((1, 1), (1, 1), 8, 20, 3)
    np.testing.assert_allclose(sides, 8, atol=1e-3)
    np.testing.assert_allclose(starts, [[0, 6]] * 3, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.5}, r"0 < low <= high <= 1\. Received: scale=0\.5"),
        ({"scale": (0.5, 2)}, r"low <= high <= 1\. Received: scale=\(0\.5, 2\)"),
        ({"ratio": (0, 1)}, "`ratio` must be a pair"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        views.RandomResizedCrop(**arguments)
