import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_invprune import allocation
from keras_invprune.allocation import collapsed, global_topk, uniform
from keras_invprune.selection import keep_count

SPARSITIES = [0.0, 0.1, 0.5, 0.8, 0.95, 0.999]


def scores_strategy():
    shape = st_numpy.array_shapes(min_dims=1, max_dims=4, max_side=4)
    arrays = st_numpy.arrays(np.float32, shape, elements=st.sampled_from([0, 1, 2.5]))
    keys = st.text("abc/", min_size=1, max_size=5)
    return st.dictionaries(keys, arrays, min_size=1, max_size=4)


def random_scores(seed=0):
    generator = np.random.default_rng(seed)
    shapes = {
        "conv/kernel": (3, 3, 2, 4),
        "dense/kernel": (36, 10),
        "out/kernel": (10,),
    }
    return {
        key: generator.standard_exponential(shape, np.float32)
        for key, shape in shapes.items()
    }


@settings(max_examples=50)
@given(scores_strategy(), st.sampled_from(SPARSITIES))
def test_global_keeps_the_exact_number_over_all(scores, sparsity):
    masks = global_topk(scores, sparsity)
    size = sum(values.size for values in scores.values())
    assert sum(mask.sum() for mask in masks.values()) == keep_count(size, sparsity)
    assert {k: m.shape for k, m in masks.items()} == {
        k: v.shape for k, v in scores.items()
    }


@settings(max_examples=50)
@given(scores_strategy(), st.sampled_from(SPARSITIES))
def test_uniform_keeps_the_exact_number_in_each(scores, sparsity):
    masks = uniform(scores, sparsity)
    assert list(masks) == list(scores)
    for key, mask in masks.items():
        assert mask.shape == scores[key].shape
        assert mask.sum() == keep_count(mask.size, sparsity)


@settings(max_examples=50)
@given(scores_strategy(), st.sampled_from(SPARSITIES))
def test_no_pruned_score_is_above_a_kept_one(scores, sparsity):
    def worst_gap(masks):
        kept = np.concatenate([scores[key][mask] for key, mask in masks.items()])
        pruned = np.concatenate([scores[key][~mask] for key, mask in masks.items()])
        return kept.min() - pruned.max(initial=-np.inf)

    assert worst_gap(global_topk(scores, sparsity)) >= 0
    for key, mask in uniform(scores, sparsity).items():
        assert worst_gap({key: mask}) >= 0


@pytest.mark.parametrize("allocate", [global_topk, uniform])
@settings(max_examples=30)
@given(scores=scores_strategy())
def test_masks_nest_as_sparsity_grows(allocate, scores):
    denser = allocate(scores, 0.0)
    assert all(mask.all() for mask in denser.values())
    for sparsity in SPARSITIES[1:]:
        sparser = allocate(scores, sparsity)
        assert all(np.all(sparser[key] <= denser[key]) for key in scores)
        denser = sparser


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_one_tensor_is_the_same_to_both(sparsity):
    scores = {"dense/kernel": random_scores()["dense/kernel"]}
    np.testing.assert_array_equal(
        global_topk(scores, sparsity)["dense/kernel"],
        uniform(scores, sparsity)["dense/kernel"],
    )


def test_global_compares_tensors_and_uniform_does_not():
    scores = random_scores()
    louder = {**scores, "dense/kernel": scores["dense/kernel"] * 1024}
    plain, loud = global_topk(scores, 0.8), global_topk(louder, 0.8)
    assert loud["dense/kernel"].sum() > plain["dense/kernel"].sum()
    for key, mask in uniform(scores, 0.8).items():
        np.testing.assert_array_equal(uniform(louder, 0.8)[key], mask)


@pytest.mark.parametrize("allocate", [global_topk, uniform])
def test_one_scale_for_all_changes_nothing(allocate):
    scores = random_scores()
    scaled = {key: values / 4096 for key, values in scores.items()}
    for key, mask in allocate(scores, 0.7).items():
        np.testing.assert_array_equal(allocate(scaled, 0.7)[key], mask)


@pytest.mark.parametrize("allocate", [global_topk, uniform])
def test_without_ties_the_order_of_the_keys_changes_nothing(allocate):
    scores = random_scores()
    turned = allocate(dict(reversed(scores.items())), 0.7)
    for key, mask in allocate(scores, 0.7).items():
        np.testing.assert_array_equal(turned[key], mask)


def test_global_counts_beyond_what_float32_can():
    size = 2**24 + 1  # float32 would round to 2**24
    assert global_topk({"embeddings": np.zeros(size, np.int8)}, 0.0)["embeddings"].all()


def test_collapsed_names_the_tensors_that_keep_nothing():
    scores = {"a": np.arange(4.0), "b": np.arange(4.0) + 9, "c": np.arange(4.0) - 9}
    assert collapsed(global_topk(scores, 0.7)) == ["a", "c"]
    assert collapsed(uniform(scores, 0.999)) == []


@pytest.mark.parametrize("allocate", [global_topk, uniform])
def test_sparsity_is_validated(allocate):
    with pytest.raises(ValueError, match="Did you mean 0.9?"):
        allocate(random_scores(), 90)


def test_get_takes_names_and_callables():
    assert allocation.get("global") is global_topk
    assert allocation.get("uniform") is uniform
    assert allocation.get(collapsed) is collapsed


def test_get_names_near_matches_and_all_names():
    with pytest.raises(ValueError, match="'uniform'.*'global', 'uniform'"):
        allocation.get("unifrom")
    with pytest.raises(TypeError, match="3"):
        allocation.get(3)
