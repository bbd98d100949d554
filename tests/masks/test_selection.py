import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_invprune.masks import selection
from keras_invprune.masks.selection import (
    check_scores,
    keep_count,
    keep_largest,
)

# Few values, so that ties are the rule, and all that floats have to offer.
TIED = [-np.inf, -2.0, -0.0, 0.0, 1e-45, 1e-40, 1.0, 3e38, np.inf]


def tied_arrays():
    shape = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    return st_numpy.arrays(np.float32, shape, elements=st.sampled_from(TIED))


def tied_scores():
    arrays = st.lists(tied_arrays(), min_size=1, max_size=4)
    return arrays.map(lambda values: {f"layer_{i}": v for i, v in enumerate(values)})


def reference(scores, count):
    """Sorts everything by (score descending, place ascending)."""
    flat = np.concatenate([np.asarray(v, np.float64).ravel() for v in scores.values()])
    order = np.lexsort((np.arange(flat.size), -flat))
    kept = np.zeros(flat.size, bool)
    kept[order[:count]] = True
    masks, start = {}, 0
    for key, values in scores.items():
        masks[key] = kept[start : start + values.size].reshape(values.shape)
        start += values.size
    return masks


def assert_equal(masks, expected):
    assert list(masks) == list(expected)
    for key, mask in masks.items():
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, expected[key], err_msg=key)


LARGE = {
    "normal": lambda generator, size: np.abs(generator.standard_normal(size)),
    "heavy_tailed": lambda generator, size: generator.standard_cauchy(size) ** 2,
    "half_zero": lambda generator, size: np.maximum(generator.standard_normal(size), 0),
    "constant": lambda generator, size: np.ones(size),
    "four_levels": lambda generator, size: generator.integers(0, 4, size),
    "sorted": lambda generator, size: np.arange(size),
    "periodic": lambda generator, size: np.arange(size) % 153,
    "one_spike": lambda generator, size: np.eye(1, size, 77_777)[0],
    "denormal": lambda generator, size: generator.integers(0, 1000, size) * 1e-45,
    "infinite_ends": lambda generator, size: np.repeat([-np.inf, 1, np.inf], size // 3),
}


def large(name, size=150_000):
    values = LARGE[name](np.random.default_rng(0), size)
    first, second, third = np.split(values.astype(np.float32), [1000, size // 2])
    return {"a": first.reshape(10, 100), "b": second, "c": third.reshape(2, -1, 5)}


@pytest.mark.parametrize(
    ("size", "sparsity", "expected"),
    [
        (10, 0.0, 10),
        (10, 0.8, 2),
        (5, 0.5, 2),  # 2.5, to even
        (7, 0.5, 4),  # 3.5, to even
        (3, 0.99, 1),  # never none
        (5, 0.9, 1),  # 0.50000012 in float32; 0.49999999 in float64
        (0, 0.5, 0),
    ],
)
def test_keep_count_rounds_half_to_even_in_float32(size, sparsity, expected):
    assert keep_count(size, sparsity) == expected


@settings(max_examples=50)
@given(st.integers(1, 2**31 - 1), st.floats(0, 1, exclude_max=True))
def test_keep_count_is_tf_mots(size, sparsity):
    # As TF-MOT's _update_mask has it, with the sparsity of its schedules: float32.
    density = 1 - tf.constant(sparsity, tf.float32)
    count = tf.round(tf.cast(tf.constant(size), tf.float32) * density)
    assert keep_count(size, sparsity) == min(size, int(tf.maximum(count, 1)))


def test_keep_count_is_tf_mots_on_a_grid():
    sizes = np.concatenate([np.arange(1, 400), 2 ** np.arange(9, 28) - 1, [784 * 300]])
    for sparsity in np.linspace(0, 0.99, 34):
        density = 1 - tf.constant(sparsity, tf.float32)
        counts = tf.maximum(tf.round(tf.cast(sizes, tf.float32) * density), 1).numpy()
        ours = [keep_count(int(size), sparsity) for size in sizes]
        np.testing.assert_array_equal(ours, np.minimum(counts, sizes))


def test_float64_counts_where_float32_cannot():
    size = 2**24 + 1
    assert keep_count(size, 0.0) == 2**24
    assert keep_count(size, 0.0, np.float64) == size
    assert keep_count(2**24 + 3, 0.0) == 2**24 + 3  # not 2**24 + 4, its float32


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.0, 80, np.nan])
def test_keep_count_refuses_what_is_no_share(sparsity):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        keep_count(10, sparsity)


def test_keep_count_asks_whether_percent_were_meant():
    with pytest.raises(ValueError, match="sparsity=80. Did you mean 0.8?"):
        keep_count(10, 80)


def test_keep_largest_of_a_literal_vector():
    scores = {"a": np.float32([0.1, 0.9]), "b": np.float32([[0.9, 0.5], [0.9, 0.0]])}
    assert_equal(keep_largest(scores, 2), {"a": [False, True], "b": [[1, 0], [0, 0]]})
    assert_equal(keep_largest(scores, 4), {"a": [False, True], "b": [[1, 1], [1, 0]]})


@given(tied_scores(), st.data())
def test_small_tied_scores_equal_the_sorted_reference(scores, data):
    total = sum(values.size for values in scores.values())
    count = data.draw(st.integers(0, total))
    assert_equal(keep_largest(scores, count), reference(scores, count))


@pytest.mark.parametrize("name", LARGE)
def test_large_scores_equal_the_sorted_reference(name):
    scores = large(name)
    for count in (1, 15_000, 75_000, 100_000, 149_999, 150_000):
        assert_equal(keep_largest(scores, count), reference(scores, count))


@given(tied_arrays(), st.sampled_from(TIED), st.sampled_from(TIED), st.data())
def test_a_bracket_is_no_more_than_a_hint(values, low, high, data):
    # Whatever a sample says, the threshold is the count-th largest score.
    ordered = np.sort(values, axis=None)[::-1]
    if not ordered.size:
        return
    count = data.draw(st.integers(1, ordered.size))
    low, high = np.float32(min(low, high)), np.float32(max(low, high))
    found = selection._threshold([values.ravel()], count, (low, high))
    assert found == (ordered[count - 1], np.sum(ordered >= ordered[count - 1]))


def test_dtypes_may_differ_and_none_is_rounded():
    scores = {
        "half": np.float16([1.0, 2.0]),
        "double": np.array([1.0 + 1e-12, 2.0 - 1e-12]),
        "integer": np.int8([2, -3]),
        "truth": np.array([True, False]),
    }
    for count in range(9):
        assert_equal(keep_largest(scores, count), reference(scores, count))


def test_ranking_doubles_does_not_go_through_float32():
    values = 1 + np.random.default_rng(0).permutation(150_000) * 1e-12
    assert np.unique(values.astype(np.float32)).size < 5
    scores = {"a": values}
    assert_equal(keep_largest(scores, 1234), reference(scores, 1234))


def test_memory_layout_does_not_matter():
    values = np.random.default_rng(0).integers(0, 9, (400, 500)).astype(np.float32)
    expected = keep_largest({"a": values.copy()}, 70_000)
    for layout in (np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        assert not layout.flags.c_contiguous
        assert_equal(keep_largest({"a": layout}, 70_000), expected)


@settings(max_examples=30)
@given(tied_scores())
def test_masks_nest_as_the_count_grows(scores):
    total = sum(values.size for values in scores.values())
    smaller = keep_largest(scores, 0)
    for count in range(1, total + 1):
        larger = keep_largest(scores, count)
        assert all(np.all(smaller[key] <= larger[key]) for key in scores)
        smaller = larger


@pytest.mark.parametrize("factor", [2.0**-10, 2.0**20])
def test_scale_does_not_matter(factor):
    scores = large("normal")
    scaled = {key: values * np.float32(factor) for key, values in scores.items()}
    assert_equal(keep_largest(scaled, 15_000), keep_largest(scores, 15_000))


def test_without_ties_the_order_of_the_keys_does_not_matter():
    scores = large("sorted")
    masks = keep_largest(dict(reversed(scores.items())), 100_000)
    assert_equal(dict(reversed(masks.items())), keep_largest(scores, 100_000))


def test_with_ties_the_earlier_key_wins():
    scores = {"z": np.ones(3), "a": np.ones(3)}
    assert_equal(keep_largest(scores, 4), {"z": [1, 1, 1], "a": [1, 0, 0]})


def test_the_scores_are_left_alone():
    scores = large("half_zero")
    before = {key: values.copy() for key, values in scores.items()}
    keep_largest(scores, 140_000)
    for key, values in scores.items():
        np.testing.assert_array_equal(values, before[key])


@pytest.mark.parametrize("name", ["normal", "half_zero", "constant"])
def test_little_memory_is_needed_beside_the_masks(name):
    scores = large(name, 3_000_000)
    tracemalloc.start()
    try:
        masks = keep_largest(scores, 2_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _bytes(masks) + 0.5 * _bytes(scores)


def _bytes(arrays):
    return sum(array.nbytes for array in arrays.values())


def test_nan_is_refused_with_key_and_number():
    scores = {"dense/kernel": np.float32([1, np.nan, np.nan]), "head": np.ones(2)}
    with pytest.raises(ValueError, match="2 in 'dense/kernel'"):
        keep_largest(scores, 1)
    with pytest.raises(ValueError, match="2 in 'dense/kernel'"):
        check_scores(scores)


@pytest.mark.parametrize("values", [np.array(["a"]), np.ones(2, complex)])
def test_what_is_no_real_number_is_refused(values):
    with pytest.raises(TypeError, match="real numbers.*'dense/kernel'"):
        keep_largest({"dense/kernel": values}, 1)


@pytest.mark.parametrize("count", [-1, 4])
def test_counts_beyond_the_scores_are_refused(count):
    with pytest.raises(ValueError, match=f"from 0 to .* 3. Received: count={count}"):
        keep_largest({"a": np.ones(3)}, count)


def test_a_count_is_an_integer():
    with pytest.raises(TypeError):
        keep_largest({"a": np.ones(3)}, 1.5)


def test_no_tensors_no_masks():
    assert keep_largest({}, 0) == {}
