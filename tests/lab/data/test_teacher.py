"""Data of a teacher: what it says, whatever the machine."""

import numpy as np

from keras_invprune_lab.data import load
from keras_invprune_lab.data.teacher import teacher_network


def test_a_teacher_by_hand():
    x = np.random.default_rng(1).normal(size=(5, 10))
    random = np.random.default_rng(0)
    first = random.normal(0, np.sqrt(2 / 10), (10, 16))
    second = random.normal(0, np.sqrt(2 / 16), (16, 16))
    third = random.normal(0, np.sqrt(2 / 16), (16, 3))
    expected = np.maximum(np.maximum(x @ first, 0) @ second, 0) @ third
    np.testing.assert_allclose(teacher_network(0, 3)(x), expected)


def test_its_classes_are_all_there_and_the_seed_decides():
    data, again, other = (load("made:teacher", seed, 0.2) for seed in (0, 0, 1))
    assert data.classes == 4 and data.x_train.shape == (3200, 10)
    assert np.bincount(data.y_test).min() > len(data.y_test) / 16
    np.testing.assert_array_equal(data.x_train, again.x_train)
    assert (data.y_test != other.y_test).any()
