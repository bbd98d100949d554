import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_invprune import patterns
from keras_invprune.allocation import global_topk, uniform
from keras_invprune.masks.selection import keep_count
from keras_invprune.patterns import Block, NByM, Unstructured

SHAPES = [(8, 6), (7, 5), (1, 1), (9, 1), (3, 4), (3, 3, 5, 2), (2, 10, 3)]


def random_scores(shape, seed=0):
    return np.random.default_rng(seed).standard_exponential(shape, np.float32)


def blocks_of(array, shape):
    """The blocks as a list of views, position by position and row by row."""
    inputs, outputs = array.shape[-2:]
    return [
        kernel[i : i + shape[0], j : j + shape[1]]
        for kernel in array.reshape(-1, inputs, outputs)
        for i in range(0, inputs, shape[0])
        for j in range(0, outputs, shape[1])
    ]


def groups_of(array, size, axis):
    """The groups as a list of vectors."""
    rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
    return [row[i : i + size] for row in rows for i in range(0, len(row), size)]


def test_unstructured_is_the_allocation():
    scores = {"a": random_scores((4, 5)), "b": random_scores((3,))}
    for allocate in (global_topk, uniform):
        masks = Unstructured()(scores, 0.6, allocate)
        for key, mask in allocate(scores, 0.6).items():
            np.testing.assert_array_equal(masks[key], mask)


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("block", [(4, 1), (1, 4), (2, 3), (16, 16)])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_with_the_largest_pooled_scores_are_kept_whole(shape, block, pooling):
    scores = random_scores(shape)
    mask = Block(block, pooling)({"k": scores}, 0.5, uniform)["k"]
    assert mask.shape == shape and mask.dtype == bool
    kept = [part.all() for part in blocks_of(mask, block)]
    assert kept == [part.any() for part in blocks_of(mask, block)]
    # Written anew: pool each block, keep the best half.
    pool = {"mean": np.mean, "max": np.max}[pooling]
    pooled = np.array([pool(part) for part in blocks_of(scores, block)])
    expected = np.zeros(len(pooled), bool)
    expected[np.argsort(-pooled, kind="stable")[: keep_count(len(pooled), 0.5)]] = True
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("block", [(4, 1), (1, 4), (2, 2), (16, 1), (4, 8)])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8, 0.97])
def test_mean_blocks_are_tf_mots_where_all_divides(block, sparsity):
    kernel = np.random.default_rng(1).standard_normal((64, 48)).astype(np.float32)
    window = [1, block[0], block[1], 1]
    image = np.abs(kernel)[None, :, :, None]
    pooled = tf.nn.avg_pool2d(image, window, window, "SAME")[0, :, :, 0].numpy()
    count = max(1, round(pooled.size * (1 - sparsity)))
    kept = pooled >= np.sort(pooled, axis=None)[-count]
    mask = Block(block)({"k": np.abs(kernel)}, sparsity, uniform)["k"]
    np.testing.assert_array_equal(mask, np.kron(kept, np.ones(block, bool)))


def test_a_short_last_block_is_judged_by_what_it_has():
    scores = np.float32([[1], [1], [1], [1], [3]])  # the mean of the last block is 3
    mask = Block((4, 1))({"k": scores}, 0.5, uniform)["k"]
    np.testing.assert_array_equal(mask[:, 0], [False, False, False, False, True])


def test_blocks_compete_between_tensors():
    scores = {"a": np.full((4, 2), 1.0), "b": np.full((8, 1), 2.0)}
    masks = Block((4, 1))(scores, 0.5, global_topk)
    assert not masks["a"].any() and masks["b"].all()


def test_a_block_pools_half_floats_and_integers_as_floats():
    half = np.full((4, 2), 60_000, np.float16)  # the sum of two is beyond float16
    half[:, 1] = 50_000
    masks = Block((4, 1))({"h": half, "i": np.int8([[100], [101]])}, 0.5, uniform)
    np.testing.assert_array_equal(masks["h"], [[True, False]] * 4)
    assert masks["i"].all()


@given(
    st_numpy.arrays(
        np.float32,
        st_numpy.array_shapes(min_dims=2, max_dims=3, max_side=7),
        elements=st.sampled_from([0, 1, 2, 2.5]),
    ),
    st.integers(2, 6),
    st.sampled_from([-2, -1, 0]),
)
def test_n_by_m_keeps_the_n_largest_of_each_group(scores, m, axis):
    for n in range(1, m):
        mask = NByM(n, m, axis)({"k": scores}, 0.999, uniform)["k"]
        assert mask.shape == scores.shape and mask.dtype == bool
        pairs = zip(groups_of(scores, m, axis), groups_of(mask, m, axis), strict=True)
        for values, kept in pairs:
            expected = np.argsort(-values, kind="stable")[:n]
            np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(expected))


def test_n_by_m_literal():
    scores = {"k": np.float32([[3, 0], [1, 0], [2, 5], [9, 0], [7, 1]])}
    mask = NByM(2, 4)(scores, 0.5, uniform)["k"]
    np.testing.assert_array_equal(mask, [[1, 1], [0, 0], [0, 1], [1, 0], [1, 1]])


def test_n_by_m_follows_a_schedule_down_to_n():
    scores = {"k": random_scores((16, 3))}
    pattern = NByM(2, 8)
    masks = [pattern(scores, s, uniform)["k"] for s in (0.0, 0.25, 0.5, 0.75, 0.99)]
    per_group = [mask[:8].sum(axis=0).tolist() for mask in masks]
    assert per_group == [[8] * 3, [6] * 3, [4] * 3, [2] * 3, [2] * 3]
    for denser, sparser in zip(masks, masks[1:], strict=False):
        assert np.all(sparser <= denser)


def test_n_by_m_says_where_it_ends():
    assert NByM(2, 4).target_sparsity == 0.5
    assert NByM(1, 16).target_sparsity == 0.9375


def test_n_by_m_of_a_vector_along_its_only_axis():
    mask = NByM(1, 2, axis=-1)({"bias": np.float32([1, 2, 4, 3, 0])}, 0.9, uniform)
    np.testing.assert_array_equal(mask["bias"], [False, True, True, False, True])


@pytest.mark.parametrize("pattern", [Block(), Block((2, 2), "max"), NByM(2, 4)])
def test_scale_changes_nothing(pattern):
    scores = {"a": random_scores((3, 3, 6, 4)), "b": random_scores((10, 7))}
    scaled = {key: values * 256 for key, values in scores.items()}
    for key, mask in pattern(scores, 0.5, global_topk).items():
        np.testing.assert_array_equal(pattern(scaled, 0.5, global_topk)[key], mask)


@pytest.mark.parametrize("pattern", [Block(), NByM(2, 4)])
def test_vectors_are_refused_by_key(pattern):
    with pytest.raises(ValueError, match=r"'dense/bias' of shape \(3,\)"):
        pattern({"dense/bias": np.ones(3)}, 0.5, uniform)


@pytest.mark.parametrize("pattern", [Unstructured(), Block(), NByM(2, 4)])
def test_nan_is_refused_by_key(pattern):
    scores = {"ok": np.ones((4, 4)), "dense/kernel": np.full((4, 4), np.nan)}
    with pytest.raises(ValueError, match="16 in 'dense/kernel'"):
        pattern(scores, 0.5, uniform)


@pytest.mark.parametrize("pattern", [Unstructured(), Block(), NByM(2, 4)])
def test_sparsity_is_validated(pattern):
    with pytest.raises(ValueError, match="Did you mean 0.5?"):
        pattern({"k": np.ones((4, 4))}, 50, uniform)


@pytest.mark.parametrize("shape", [4, (4,), (4, 0), (4, 1, 1), (2.0, 1), "41"])
def test_block_shapes_are_validated(shape):
    with pytest.raises(ValueError, match="two positive integers"):
        Block(shape)


def test_block_pooling_is_validated():
    with pytest.raises(ValueError, match="'max', 'mean'.*pooling='AVG'"):
        Block(pooling="AVG")


@pytest.mark.parametrize("arguments", [(4, 2), (2, 2), (0, 4), (-1, 4), (1.0, 2)])
def test_n_by_m_is_validated(arguments):
    with pytest.raises(ValueError, match="0 < n < m"):
        NByM(*arguments)


@pytest.mark.parametrize(
    "pattern",
    [Unstructured(), Block(), Block((1, 16), "max"), NByM(2, 4), NByM(4, 16, axis=-1)],
)
def test_patterns_come_back_from_their_configs(pattern):
    assert type(pattern).from_config(pattern.get_config()) == pattern
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(pattern)))
    assert config["registered_name"].startswith("keras_invprune>")
    assert keras.saving.deserialize_keras_object(config) == pattern
    assert patterns.get(config) == pattern
    bare = json.loads(json.dumps(pattern.get_config()))  # a list, where a tuple was
    assert type(pattern).from_config(bare) == pattern


def test_get_takes_none_names_and_callables():
    def whole_rows(scores, sparsity, allocation):
        return allocation(scores, sparsity)

    assert patterns.get(None) == Unstructured()
    assert patterns.get("unstructured") == Unstructured()
    assert patterns.get(whole_rows) is whole_rows
    assert patterns.get(Block((2, 2))) == Block((2, 2))


def test_get_refuses_what_is_no_pattern():
    with pytest.raises(ValueError, match="Did you mean 'unstructured'"):
        patterns.get("unstructed")
    with pytest.raises(TypeError, match="not a class"):
        patterns.get(Block)
    with pytest.raises(TypeError):
        patterns.get(4)


def test_a_pattern_does_not_change():
    with pytest.raises(AttributeError):
        Block().pooling = "max"
