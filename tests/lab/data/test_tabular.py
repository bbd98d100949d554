"""From tables to rows: what is learned, and from which part."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from keras_invprune_lab.data import prepare
from keras_invprune_lab.data.base import hold_out

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
    assert data.x_train.shape == (48, 2 + 3 + 2 + 2) and data.x_test.shape == (12, 9)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    np.testing.assert_allclose(data.x_train[:, :2].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train[:, :2].std(axis=0), 1, atol=1e-5)
    for columns in (slice(2, 5), slice(5, 7), slice(7, 9)):
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
        (10, [0.5, 1.5] * 5, "'target' is not a class"),
        (10, list(range(10)), "'target' is not a class: 10 different numbers"),
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


def test_each_row_is_learned_from_or_tested_on_never_both():
    frame, y = table(20), labels(20)
    before = prepare(frame, y)
    tested = 0
    for row in range(20):
        spoilt = frame.copy()
        spoilt.loc[row, "number"] = 1e4
        after = prepare(spoilt, y)
        if np.array_equal(after.x_train, before.x_train):
            changed = np.any(after.x_test != before.x_test, axis=1)
            assert changed.sum() == 1
            tested += 1
    assert tested == len(before.x_test) == 4


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "category"])
def test_numbers_as_classes_are_ordered_by_value(dtype):
    y = np.arange(240) % 12
    data = prepare(table(240), pd.Series(y).astype(dtype))
    assert data.names == tuple(map(str, range(12)))
    np.testing.assert_array_equal(np.bincount(data.y_test), [4] * 12)


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_a_table_of_few_rows_says_how_many_are_needed(rows):
    y = pd.Series(["a", "b"] * 3)[:rows]
    with pytest.raises(ValueError, match=f"{rows} rows are too few.*at least 6"):
        prepare(table(6)[:rows], y)


def test_the_least_table():
    data = prepare(pd.DataFrame({"n": range(6)}), pd.Series(["a", "b"] * 3))
    assert set(data.y_train) == set(data.y_test) == {0, 1}


@pytest.mark.parametrize(
    "y",
    [
        pd.date_range("2020-01-01", periods=20),
        np.arange(20) * 1.0,
        np.linspace(0, 1, 20).round(1),
    ],
)
def test_a_quantity_is_no_class(y):
    with pytest.raises(ValueError, match="is not a class: .* in 20 rows"):
        prepare(table(20), pd.Series(y))


def test_integers_that_look_like_a_quantity_say_so():
    with pytest.raises(ValueError, match="one member.*'0'.*If it is a quantity"):
        prepare(table(20), pd.Series([0] + [1, 2] * 9 + [3]))


def test_the_message_shows_plain_names():
    with pytest.raises(ValueError, match=r"both parts: \['b'\]\."):
        prepare(table(10), pd.Series(["a"] * 9 + ["b"]))


def test_each_row_has_one_label():
    with pytest.raises(ValueError, match="10 rows, 12 labels"):
        prepare(table(10), labels(12))


@pytest.mark.parametrize(
    ("columns", "width"),
    [
        ({"n": pd.array([1, None, 3] * 20, dtype="Int64")}, 1),
        ({"b": pd.array([True, None, False] * 20, dtype="boolean")}, 3),
        ({"s": pd.array(["x", None, "y"] * 20, dtype="string")}, 3),
        ({"c": pd.Categorical(["x", None, "y"] * 20)}, 3),
        ({"mixed": np.array([1, "x", None] * 20, object)}, 3),
        ({"sparse": pd.arrays.SparseArray([0.0, 0.0, 1.0] * 20)}, 1),
        ({0: [1.0, 2.0, 3.0] * 20, "0": [3.0, 2.0, 1.0] * 20}, 2),
    ],
)
def test_columns_of_every_type(columns, width):
    data = prepare(pd.DataFrame(columns), labels())
    assert data.x_train.shape == (48, width) and np.isfinite(data.x_train).all()


def test_two_columns_of_one_name():
    frame = pd.DataFrame(GENERATOR.normal(size=(60, 2)), columns=["n", "n"])
    assert prepare(frame, labels()).x_train.shape == (48, 2)


@pytest.mark.parametrize("value", [np.inf, -np.inf, -1e300])
def test_an_infinite_number_names_its_column(value):
    frame = table()
    frame.loc[7, "number"] = value
    with pytest.raises(ValueError, match="column 'number' has infinite values"):
        prepare(frame, labels())


# Validation


def numbered(rows=60):
    """`table` behind the number of each row, which `rows_of` finds again."""
    return pd.concat(
        [pd.Series(np.arange(rows) * 1.0, name="row"), table(rows)], axis=1
    )


def rows_of(data):
    """Row numbers of the training, test and validation part: the order stays."""
    parts = [data.x_train, data.x_test, data.x_valid]
    parts = [part[:, 0] for part in parts if part is not None]
    order = np.argsort(np.argsort(np.concatenate(parts)))
    return np.split(order, np.cumsum([len(part) for part in parts])[:-1])


def test_validation_rows_are_taken_from_training_by_class():
    frame, y = numbered(), pd.Series(["a", "b", "b"] * 20)
    whole, data = prepare(frame, y, 3), prepare(frame, y, 3, validation=0.25)
    assert whole.x_valid is None and whole.y_valid is None
    before, tests = rows_of(whole)
    train, same_tests, valid = rows_of(data)
    np.testing.assert_array_equal(same_tests, tests)
    assert sorted([*train, *valid]) == sorted(before)
    for part, numbers, size in (
        (train, data.y_train, 36),
        (valid, data.y_valid, 12),
        (tests, data.y_test, 12),
    ):
        np.testing.assert_array_equal(np.array(data.names)[numbers], y[part])
        np.testing.assert_array_equal(np.bincount(numbers), [size / 3, size * 2 / 3])


@pytest.mark.parametrize("encoding", ["one_hot", "codes"])
def test_nothing_is_learned_from_validation_or_test(encoding):
    frame, y = numbered(), labels()
    options = {"validation": 0.25, "encoding": encoding}
    before = prepare(frame, y, **options)
    np.testing.assert_allclose(before.x_train[:, :3].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(before.x_train[:, :3].std(axis=0), 1, atol=1e-5)
    _, tests, valid = rows_of(before)
    for part, name in ((tests, "x_test"), (valid, "x_valid")):
        spoilt = frame.copy()
        spoilt.loc[part, "number"] = 1e9
        spoilt.loc[part, "holes"] = np.nan
        spoilt.loc[part, "words"] = "never seen"
        spoilt.loc[part, "constant"] = 8
        after = prepare(spoilt, y, **options)
        np.testing.assert_array_equal(after.x_train, before.x_train)
        words = getattr(after, name)[:, 3:6] if encoding == "one_hot" else None
        words = getattr(after, name)[:, 3] if words is None else words
        assert np.all(words == 0) and np.all(getattr(after, name)[:, 1] > 1e6)


def test_the_only_row_of_a_class_stays_in_training():
    y = np.array([0] * 8 + [2] + [1] * 8 + [5])
    for seed in range(5):
        train, valid = hold_out(y, 0.25, seed)
        np.testing.assert_array_equal(np.sort(np.append(train, valid)), np.arange(18))
        assert {8, 17} <= set(train)
        np.testing.assert_array_equal(np.bincount(y[valid]), [2, 2])


def test_a_split_for_validation_has_a_seed():
    y = np.arange(40) % 2
    (_, first), (_, again), (_, other) = (hold_out(y, 0.2, s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize(
    ("y", "share"),
    [(np.arange(40) % 20, 0.1), (np.arange(9), 0.5), (np.arange(8) % 4, 0.9)],
)
def test_what_cannot_be_held_out_says_so(y, share):
    message = f"part of {len(y)} rows cannot be split by class.*Join classes"
    with pytest.raises(ValueError, match=message):
        hold_out(y, share, 0)


@pytest.mark.parametrize("share", [1, 1.0, -0.1, float("nan")])
def test_validation_is_a_share(share):
    with pytest.raises(ValueError, match=r"`validation` must be a share in \[0, 1\)"):
        prepare(table(), labels(), validation=share)


# Codes


def test_codes_count_from_one_and_numbers_are_filled_with_zero():
    frame, y = numbered(), labels()
    frame["rare"] = np.where(np.arange(60) < 2, ["x", "y"] * 30, "z")
    data = prepare(frame, y, 1, validation=0.25, encoding="codes")
    parts = rows_of(data)
    numbers = frame[["row", "number", "holes"]].fillna(0).to_numpy()
    mean, std = numbers[parts[0]].mean(axis=0), numbers[parts[0]].std(axis=0)
    for rows, x in zip(parts, (data.x_train, data.x_test, data.x_valid), strict=True):
        np.testing.assert_allclose(x[:, :3], (numbers[rows] - mean) / std, atol=1e-5)
        names = ["words", "flag", "number_or_nothing", "rare"]
        for column, name in enumerate(names, start=3):
            seen = sorted({str(v) for v in frame[name][parts[0]].dropna()})
            expected = [
                1 + seen.index(str(v)) if str(v) in seen else 0
                for v in frame[name][rows]
            ]
            np.testing.assert_array_equal(x[:, column], expected)
        assert x.shape[1] == 7 and x.dtype == np.float32
    unseen = [np.any(x[:, 6] == 0) for x in (data.x_train, data.x_test, data.x_valid)]
    assert unseen[0] == 0 and sum(unseen) == 1


def test_codes_literal():
    words = ["b", None, "a", "b", None, "a"] * 5
    frame = pd.DataFrame({"words": words})
    data = prepare(frame, pd.Series(["no", "yes"] * 15), encoding="codes")
    codes = np.append(data.x_train, data.x_test).astype(int)
    np.testing.assert_array_equal(np.bincount(codes), [10, 10, 10])


def test_an_unknown_encoding_names_near_ones():
    with pytest.raises(ValueError, match="Did you mean 'one_hot'"):
        prepare(table(), labels(), encoding="one-hot")


@pytest.mark.parametrize("encoding", ["one_hot", "codes"])
@pytest.mark.parametrize("values", [[1.0, np.nan], [True, None]])
def test_one_value_or_missing_tells_the_two_apart(values, encoding):
    frame = pd.DataFrame({"column": pd.Series(values * 12, dtype=object)})
    data = prepare(frame.infer_objects(), pd.Series([0, 1] * 12), encoding=encoding)
    first = data.x_train[:, 0]
    assert len(np.unique(first)) == 2
    assert abs(np.corrcoef(first, data.y_train)[0, 1]) == pytest.approx(1)


@pytest.mark.parametrize(
    "y",
    [
        [f"{i}.5" for i in range(24)],
        pd.Series([i + 0.25 for i in range(24)], dtype=object),
        [str(i) for i in range(24)],
        [1e300, 2e300] * 12,
    ],
)
def test_a_quantity_is_no_class_however_it_is_stored(y):
    frame = pd.DataFrame({"a": np.arange(24.0)})
    with pytest.raises(ValueError, match="is not a class: .* different numbers"):
        prepare(frame, pd.Series(y, name="target"))


def test_classes_written_as_text_are_stripped_and_may_be_missing():
    frame = pd.DataFrame({"a": np.arange(24.0)})
    data = prepare(frame, pd.Series(["yes", " yes", "no ", "no"] * 6))
    assert data.names == ("no", "yes")
    for missing in ("?", "", " "):
        with pytest.raises(ValueError, match="missing in 12 of 24 rows"):
            prepare(frame, pd.Series(["yes", missing] * 12))
