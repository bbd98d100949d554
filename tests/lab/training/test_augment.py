"""What is done to images in supervised training, against NumPy."""

import numpy as np
import tensorflow as tf

from keras_invprune_lab.training.augment import PADDING, crop_flip
from keras_invprune_lab.training.order import batches

HEIGHT, WIDTH = 6, 5
IMAGE = np.arange(1, 1 + HEIGHT * WIDTH * 2, dtype="float32").reshape(HEIGHT, WIDTH, 2)
SHIFTS = range(2 * PADDING + 1)


def key(*numbers):
    return tf.constant(numbers, tf.int64)


def every_outcome():
    """The image under each shift, plain and mirrored: [9 * 9 * 2, h, w, c]."""
    padded = np.pad(IMAGE, [(PADDING, PADDING), (PADDING, PADDING), (0, 0)])
    crops = [
        padded[row : row + HEIGHT, column : column + WIDTH]
        for row in SHIFTS
        for column in SHIFTS
    ]
    return np.array([view for crop in crops for view in (crop, crop[:, ::-1])])


def test_each_image_is_shifted_and_mirrored_in_a_way_of_its_own():
    images = np.repeat(IMAGE[None], 3000, axis=0)
    found = crop_flip(tf.constant(images), key(1, 2)).numpy()
    same = np.all(found[:, None] == every_outcome()[None], axis=(2, 3, 4))
    np.testing.assert_array_equal(same.sum(axis=1), 1)
    outcome = same.argmax(axis=1)
    assert len(set(outcome)) == 2 * len(SHIFTS) ** 2  # all of them occur
    np.testing.assert_allclose(np.mean(outcome % 2), 0.5, atol=0.05)


def test_the_key_decides():
    images = tf.constant(np.repeat(IMAGE[None], 20, axis=0))
    one = crop_flip(images, key(1, 2)).numpy()
    np.testing.assert_array_equal(crop_flip(images, key(1, 2)), one)
    for other in (key(1, 3), key(2, 2), key(2, 1), key(1, 2 + 2**32)):
        assert np.any(crop_flip(images, other).numpy() != one)


def test_each_epoch_draws_anew():
    images = np.repeat(IMAGE[None], 8, axis=0)
    found = batches(images, np.zeros(8), 8, 0, 0, 3, augment=crop_flip)
    first, second, third = (x.numpy() for x, _ in found)
    assert np.any(first != second) and np.any(second != third)


def test_the_shape_stays_known():
    rows = tf.data.Dataset.from_tensor_slices(np.repeat(IMAGE[None], 3, axis=0))
    rows = rows.batch(2).map(lambda images: crop_flip(images, key(0, 0)))
    assert rows.element_spec.shape.as_list() == [None, HEIGHT, WIDTH, 2]
    assert [len(images) for images in rows] == [2, 1]
