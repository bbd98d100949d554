"""From tables to rows: what is learned, and from which part."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from keras_invprune.experiments.data import prepare

GENERATOR = np.random.default_rng(0)


def table(rows=60):
    return pd.DataFrame(
        {
            "number": GENERATOR.normal(5.0, 3.0, rows),
            "holes": np.where(np.arange(rows) % 3 == 0, np.nan, np.arange(rows)),
            "words": np.array(["a", "b", None], object)[np.arange(rows) % 3],
            "flag": np.arange(rows) % 2 == 0,
            "constant": 7,
            "empty": np.nan,
            "number_or_nothing": np.where(np.arange(rows) % 2, np.nan, 1.0),
        }
    )


def labels(rows=60):
    return pd.Series(np.array(["no", "yes"])[np.arange(rows) // 2 % 2], name="target")


def test_numbers_are_standardised_categories_one_hot_constants_dropped():
    data = prepare(table(), labels())
    assert data.x_train.shape == (48, 2 + 3 + 2) and data.x_test.shape == (12, 7)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    np.testing.assert_allclose(data.x_train[:, :2].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train[:, :2].std(axis=0), 1, atol=1e-5)
    for columns in (slice(2, 5), slice(5, 7)):
        one_hot = data.x_train[:, columns]
        assert set(np.unique(one_hot)) == {0, 1}
        np.testing.assert_array_equal(one_hot.sum(axis=1), 1)


def test_labels_are_numbered_by_sorted_name_and_stratified():
    data = prepare(table(), labels())
    assert data.names == ("no", "yes") and data.classes == 2
    assert data.y_train.mean() == data.y_test.mean() == 0.5


def test_nothing_is_learned_from_the_test_part():
    frame, y = table(), labels()
    before = prepare(frame, y)
    # Which rows are for testing: those whose change changes no training row.
    _, tests = train_test_split(
        np.arange(60), test_size=0.2, random_state=0, stratify=y
    )
    spoilt = frame.copy()
    spoilt.loc[tests, "number"] = 1e9
    spoilt.loc[tests, "words"] = "never seen"
    spoilt.loc[tests, "constant"] = 8
    after = prepare(spoilt, y)
    np.testing.assert_array_equal(after.x_train, before.x_train)
    assert np.all(after.x_test[:, 0] > 1e6)
    np.testing.assert_array_equal(after.x_test[:, 2:5], 0)  # no category it knows


def test_many_categories_share_columns():
    frame = pd.DataFrame({"words": [f"w{i}" for i in range(1000)]})
    data = prepare(frame, pd.Series(np.arange(1000) % 2))
    assert data.x_train.shape == (800, 64)


def test_the_seed_makes_the_split():
    first, again, other = (prepare(table(), labels(), seed) for seed in (0, 0, 1))
    # `table` draws anew, so only the labels can be compared.
    np.testing.assert_array_equal(first.y_train, again.y_train)
    assert np.any(first.y_train != other.y_train)


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        (2, ["a", "b"], "2 rows are too few.*|Classes with one member"),
        (10, ["a"] * 9 + ["b"], "Classes with one member.*'b'"),
        (10, ["a"] * 10, "1 class; two are needed"),
        (10, ["a"] * 5 + [None] + ["b"] * 4, "missing in 1 of 10"),
        (10, [0.5, 1.5] * 5, "'target' is no class"),
        (10, list(range(10)), "'target' is no class: 10 different numbers"),
        (10, ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"], "10 rows are too few"),
    ],
)
def test_what_cannot_be_split_says_why(rows, y, message):
    with pytest.raises(ValueError, match=message):
        prepare(table(rows), pd.Series(y, name="target"))


def test_a_table_without_information():
    frame = pd.DataFrame({"constant": [1] * 20, "empty": [np.nan] * 20})
    with pytest.raises(ValueError, match="No column of the table varies"):
        prepare(frame, pd.Series(np.arange(20) % 2))
