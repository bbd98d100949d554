"""LAMP, ERK and class-distributed pruning against the papers' own words in NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_invprune.allocation import (
    class_distributed,
    collapsed,
    erk,
    global_topk,
    lamp,
    uniform,
)
from keras_invprune.masks.selection import keep_count

SPARSITIES = [0.0, 0.1, 0.5, 0.8, 0.95]
SHAPES = {"conv": (3, 3, 2, 4), "wide": (36, 10), "out": (10, 3), "bias": (7,)}
every_sparsity = pytest.mark.parametrize("sparsity", SPARSITIES)


def weights(seed=0):
    """Without ties, each tensor of a spread of its own."""
    generator = np.random.default_rng(seed)
    spreads = 2.0 ** np.arange(len(SHAPES))
    return {
        key: generator.normal(0, spread, shape)
        for (key, shape), spread in zip(SHAPES.items(), spreads, strict=True)
    }


def magnitudes(seed=0):
    return {key: np.abs(w) for key, w in weights(seed).items()}


def largest(scores, sparsity):
    """The masks of the largest scores over all tensors, by sorting them."""
    flat = np.concatenate([values.ravel() for values in scores.values()])
    threshold = np.sort(flat)[::-1][keep_count(flat.size, sparsity) - 1]
    return {key: values >= threshold for key, values in scores.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, mask in expected.items():
        np.testing.assert_array_equal(found[key], mask)


# LAMP


def lamp_scores(w):
    """score(u) = W[u]^2 over the sum of W[v]^2 with W[v]^2 >= W[u]^2, in a tensor."""
    squares = np.square(w)
    pairs = [square / squares[squares >= square].sum() for square in squares.ravel()]
    return np.reshape(pairs, w.shape)


@every_sparsity
def test_lamp_is_equation_4_and_one_ranking(sparsity):
    expected = {key: lamp_scores(w) for key, w in weights().items()}
    assert_same(lamp(magnitudes(), sparsity), largest(expected, sparsity))


@every_sparsity
def test_lamp_ranks_what_is_below_zero_behind_the_rest_by_itself(sparsity):
    clipped = {key: np.maximum(w, 0) for key, w in weights().items()}
    ranked = {
        key: np.where(w < 0, w, lamp_scores(clipped[key]))
        for key, w in weights().items()
    }
    assert_same(lamp(weights(), sparsity), largest(ranked, sparsity))


def test_lamp_keeps_one_of_each_tensor_where_one_ranking_empties_some():
    scores = magnitudes()
    sparsity = 1 - len(SHAPES) / sum(values.size for values in scores.values())
    assert collapsed(global_topk(scores, sparsity))
    for key, mask in lamp(scores, sparsity).items():
        assert mask.sum() == 1 and mask.ravel()[scores[key].argmax()]


# Class-distributed


@every_sparsity
def test_class_distributed_ranks_by_multiples_of_the_deviation(sparsity):
    expected = {
        key: np.abs(w) / np.sqrt(np.mean(np.square(w))) for key, w in weights().items()
    }
    masks = class_distributed(magnitudes(), sparsity)
    assert_same(masks, largest(expected, sparsity))


@pytest.mark.parametrize("allocate", [class_distributed, lamp, erk, uniform])
def test_a_tensor_may_be_rescaled(allocate):
    scores = magnitudes()
    louder = {**scores, "wide": scores["wide"] * 1024}
    assert_same(allocate(louder, 0.8), allocate(scores, 0.8))
    assert np.any(global_topk(louder, 0.8)["out"] != global_topk(scores, 0.8)["out"])


# Erdős-Rényi-Kernel


def erk_exact(shapes, kept):
    """min(1, ε · sum of axes / product of axes) of each tensor, ε by bisection."""
    sizes = {key: np.prod(shape) for key, shape in shapes.items()}

    def counts(epsilon):
        densities = {
            key: min(1.0, epsilon * sum(shape) / sizes[key])
            for key, shape in shapes.items()
        }
        return {key: density * sizes[key] for key, density in densities.items()}

    low, high = 0.0, float(max(sizes.values()))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if sum(counts(middle).values()) < kept else (low, middle)
        )
    return counts(high)


def shapes_strategy():
    shape = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple)
    return st.dictionaries(st.text("abc/", min_size=1), shape, min_size=1, max_size=5)


@settings(max_examples=100)
@given(shapes_strategy(), st.floats(0, 0.99))
def test_erk_keeps_what_the_densities_say_to_less_than_one_weight(shapes, sparsity):
    scores = {key: np.ones(shape, np.int8) for key, shape in shapes.items()}
    kept = keep_count(sum(s.size for s in scores.values()), sparsity, np.float64)
    exact = erk_exact(shapes, kept)
    found = {key: int(mask.sum()) for key, mask in erk(scores, sparsity).items()}
    for key, number in found.items():
        assert 1 <= number <= scores[key].size
        assert abs(number - exact[key]) < 1 + 1e-6
    if all(number >= 1 for number in exact.values()):
        assert sum(found.values()) == kept
    else:  # one of each tensor stays, be it one too many
        assert kept <= sum(found.values()) <= kept + len(shapes)


def test_erk_keeps_no_more_of_a_tensor_than_there_is():
    scores = {"scale": np.ones((1, 1)), "body": np.ones((5, 2, 1, 4)), "b": np.ones(3)}
    for sparsity in np.linspace(0, 0.98, 99):
        assert erk(scores, sparsity)["scale"].all()


@every_sparsity
def test_erk_keeps_the_largest_of_each_tensor(sparsity):
    scores = magnitudes()
    for key, mask in erk(scores, sparsity).items():
        assert_same({key: mask}, largest({key: scores[key]}, 1 - mask.mean()))
