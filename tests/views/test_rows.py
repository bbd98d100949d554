"""SCARF corruption: how many features, which, and whose values."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune.views import ScarfCorruption
from keras_invprune.views.rows import distinct_keys, smallest


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def labeled(rows, features):
    """Rows that hold their own number, so that a value tells where it is from."""
    return np.repeat(np.arange(rows, dtype="float32")[:, None], features, axis=1)


def check_counts_and_donors(x, y, count):
    replaced = y != x
    assert np.all(replaced.sum(axis=1) == count)
    for row, where in zip(y, replaced, strict=True):
        assert len(set(row[where])) <= 1


@pytest.mark.parametrize(
    ("rate", "features"), [(0.5, 7), (0.6, 10), (0.0, 5), (1.0, 5), (0.3, 3), (0.5, 1)]
)
def test_exactly_the_share_of_features_comes_from_one_other_row(rate, features):
    x = labeled(20, features)
    y = array(ScarfCorruption(rate, seed=1)(x))
    check_counts_and_donors(x, y, int(rate * features))


def test_compiled_corruption_keeps_the_counts():
    x = labeled(20, 7)
    y = array(tf.function(ScarfCorruption(seed=1), jit_compile=True)(x))
    check_counts_and_donors(x, y, 3)


def test_values_stay_in_their_column():
    x = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    y = array(ScarfCorruption(seed=1)(x))
    for column in range(6):
        assert set(y[:, column]) <= set(x[:, column])


def test_features_and_donors_are_uniform():
    rows, x = 2000, labeled(2000, 6)
    y = array(ScarfCorruption(0.5, seed=1)(x))
    replaced = y != x
    # Each of the 20 sets of 3 features serves 1/20 of the rows.
    _, counts = np.unique(replaced, axis=0, return_counts=True)
    assert len(counts) == math.comb(6, 3)
    error = math.sqrt(rows / 20)
    np.testing.assert_allclose(counts, rows / 20, atol=4 * error)
    # The donor lies any number of rows ahead, around the batch.
    donors = np.where(replaced, y, -1).max(axis=1)
    ahead = (donors - np.arange(rows)) % rows
    assert ahead.min() >= 1
    counts, _ = np.histogram(ahead, bins=20, range=(0, rows))
    np.testing.assert_allclose(counts, rows / 20, atol=4 * error)


def test_the_only_row_of_a_batch_stays():
    x = labeled(1, 4) + 3
    np.testing.assert_array_equal(ScarfCorruption(1.0)(x), x)


def test_missing_values_do_not_spread():
    x = np.array([[np.nan, 1, 2, 3], [4, 5, 6, 7]], "float32")
    y = array(ScarfCorruption(0.5, seed=1)(x))
    assert np.isnan(y).sum() <= 2
    assert not np.isnan(y[:, 1:]).any()


def test_a_reference_gives_the_values():
    reference = 100 + labeled(5, 4)
    y = array(ScarfCorruption(0.5, reference=reference, seed=1)(labeled(40, 4)))
    replaced = y >= 100
    assert np.all(replaced.sum(axis=1) == 2)
    assert set(y[replaced]) == {100, 101, 102, 103, 104}
    for row, where in zip(y, replaced, strict=True):
        assert len(set(row[where])) == 1


def test_a_reference_is_saved_with_the_model(tmp_path):
    reference = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    inputs = keras.Input((4,))
    view = ScarfCorruption(0.5, reference=reference, seed=1)
    model = keras.Model(inputs, view(inputs))
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[-1].reference, reference)
    x = labeled(6, 4)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_the_config_keeps_the_shape_of_a_reference():
    layer = ScarfCorruption(0.3, reference=np.ones((5, 4)), seed=1)
    again = ScarfCorruption.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.reference.shape == (5, 4)
    assert ScarfCorruption().get_config()["reference_shape"] is None


def test_smallest_marks_the_first_of_the_sorted_keys():
    extreme = [0, 2**31 - 2, 1, 2**30, 2**30 - 1, 5, 2**30 + 1, 4]
    keys = np.array([extreme, np.random.default_rng(0).permutation(8)], "int32")
    for count in range(9):
        expected = np.argsort(np.argsort(keys, axis=1), axis=1) < count
        np.testing.assert_array_equal(smallest(keys, count), expected)


@pytest.mark.parametrize("columns", [1, 3, 1024, 5000])
def test_keys_are_distinct_within_a_row(columns):
    keys = array(distinct_keys((3, columns), keras.random.SeedGenerator(1)))
    assert keys.min() >= 0 and keys.max() < 2**31 - 1
    assert all(len(set(row)) == columns for row in keys)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ScarfCorruption(50),
            r"`rate` must be in \[0, 1\].*Did you mean 0.5\?",
        ),
        (lambda: ScarfCorruption(-0.1), r"`rate` must be in \[0, 1\]"),
        (lambda: ScarfCorruption("half"), "Received: rate='half'"),
        (lambda: ScarfCorruption(reference=np.ones(3)), r"shape=\(3,\)"),
        (lambda: ScarfCorruption(reference=np.ones((0, 3))), "non-empty"),
        (
            lambda: ScarfCorruption(reference=np.ones((5, 3)))(labeled(2, 4)),
            "reference with 3 features, an input with 4",
        ),
        (
            lambda: ScarfCorruption()(np.ones((2, 8, 8, 1), "float32")),
            r"rows of shape.*views\.images",
        ),
    ],
)
def test_unusable_arguments_and_inputs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
