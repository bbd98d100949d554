import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import keras_invprune as kip
from keras_invprune import allocation
from keras_invprune.allocation import (
    ALLOCATIONS,
    PerLayer,
    Shuffled,
    class_distributed,
    collapsed,
    erk,
    global_topk,
    lamp,
    uniform,
)
from keras_invprune.masks.selection import keep_count
from keras_invprune.saving import Configured, name_of

SPARSITIES = [0.0, 0.1, 0.5, 0.8, 0.95, 0.999]
SHUFFLED = [Shuffled("global", seed=3), Shuffled("uniform", seed=3)]
ONE_RANKING = [global_topk, class_distributed, lamp]
EVERY = [*ALLOCATIONS.values(), *SHUFFLED]


def named(value):
    if isinstance(value, Shuffled):
        return f"shuffled_{value.allocation.__name__}"
    return name_of(value)


every_allocation = pytest.mark.parametrize("allocate", EVERY, ids=named)


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


def count(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def size(scores):
    return sum(values.size for values in scores.values())


@every_allocation
@settings(max_examples=20)
@given(scores=scores_strategy(), sparsity=st.sampled_from(SPARSITIES))
def test_masks_are_boolean_and_shaped_like_the_scores(allocate, scores, sparsity):
    masks = allocate(scores, sparsity)
    assert list(masks) == list(scores)
    for key, mask in masks.items():
        assert mask.dtype == bool and mask.shape == scores[key].shape


@pytest.mark.parametrize("allocate", ONE_RANKING, ids=named)
@settings(max_examples=50)
@given(scores=scores_strategy(), sparsity=st.sampled_from(SPARSITIES))
def test_one_ranking_keeps_the_exact_number_over_all(allocate, scores, sparsity):
    assert count(allocate(scores, sparsity)) == keep_count(size(scores), sparsity)


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
    for allocate in (uniform, erk):
        for key, mask in allocate(scores, sparsity).items():
            assert worst_gap({key: mask}) >= 0


# Not `erk`: where whole numbers share a sum, one of them may rise as the sum falls.
@pytest.mark.parametrize("allocate", [a for a in EVERY if a is not erk], ids=named)
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


@every_allocation
def test_one_scale_for_all_changes_nothing(allocate):
    scores = random_scores()
    scaled = {key: values / 4096 for key, values in scores.items()}
    for key, mask in allocate(scores, 0.7).items():
        np.testing.assert_array_equal(allocate(scaled, 0.7)[key], mask)


@pytest.mark.parametrize("allocate", ALLOCATIONS.values(), ids=named)
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


@every_allocation
@pytest.mark.parametrize("others", [0.0, 1.0])
def test_tensors_of_zeros_are_ranked_all_the_same(allocate, others):
    scores = {key: values * others for key, values in random_scores().items()}
    scores["dense/kernel"] *= 0
    kept = count(allocate(scores, 0.75))
    assert kept == pytest.approx(size(scores) / 4, abs=len(scores) / 2)


@every_allocation
def test_sparsity_is_validated(allocate):
    with pytest.raises(ValueError, match="Did you mean 0.9?"):
        allocate(random_scores(), 90)
    for sparsity in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
            allocate(random_scores(), sparsity)


@every_allocation
def test_scores_that_are_not_numbers_are_refused(allocate):
    for others in (1.0, 0.0):
        scores = {key: values * others for key, values in random_scores().items()}
        scores["out/kernel"][3] = np.nan
        with pytest.raises(ValueError, match="must not be NaN.* in 'out/kernel'"):
            allocate(scores, 0.5)


# A sparsity of its own for each tensor


def worst_gap(scores, mask):
    return scores[mask].min(initial=np.inf) - scores[~mask].max(initial=-np.inf)


@settings(max_examples=50)
@given(scores_strategy(), st.sampled_from(SPARSITIES))
def test_per_layer_keeps_as_many_of_each_tensor_as_the_masks_it_was_told(
    scores, sparsity
):
    others = {key: values[::-1] for key, values in scores.items()}
    theirs = global_topk(others, sparsity)  # some may keep nothing
    allocate = PerLayer({key: 1 - mask.mean() for key, mask in theirs.items()})
    for key, mask in allocate(scores, 1.0).items():
        assert mask.shape == scores[key].shape
        assert mask.sum() == theirs[key].sum()
        assert worst_gap(scores[key], mask) >= 0


def test_per_layer_names_the_tensors_it_was_not_told_of():
    with pytest.raises(ValueError, match=r"Missing: \['b'\].*Received: \['a', 'c'\]"):
        PerLayer({"a": 0.5, "c": 0.5})({"a": np.arange(2), "b": np.arange(2)}, 0.5)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan")])
def test_per_layer_takes_shares_only(sparsity):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\].*'a'"):
        PerLayer({"a": sparsity, "b": 0.5})


def test_per_layer_is_scaled_on_the_way_to_its_target():
    scores = {"a": np.arange(100), "b": np.arange(300)}
    allocate = PerLayer({"a": 0.8, "b": 0.4})  # 0.5 in all
    for asked, kept in ((0.25, (60, 240)), (0.498, (20, 180)), (0.5, (20, 180))):
        masks = allocate(scores, asked)
        assert tuple(mask.sum() for mask in masks.values()) == kept


def small_model():
    hidden = keras.layers.Dense(10, name="hidden")
    other = keras.layers.Dense(30, name="other")
    return keras.Sequential(
        [keras.Input((10,)), hidden, other, keras.layers.Dense(2, name="head")]
    )


@pytest.mark.parametrize(
    ("sparsities", "message"),
    [
        ({"hidden/kernel": 0.5}, r"Missing: \['other/kernel'\]"),
        ({"hiden": 0.5, "other": 0.5}, "Received: 'hiden'. Did you mean 'hidden'"),
        (
            {"hidden/kernel": 0.8, "other/kernel": 0.4, "othr/kernel": 0.4},
            "Received: 'othr/kernel'. Did you mean 'other/kernel'",
        ),
        ({"hidden/kernel": 0.5, "other/kernel": 0.1}, "remove 0.2 .*sparsity=0.2"),
        ({"hidden/kernel": 50, "other/kernel": 0.4}, r"\{'hidden/kernel': 50\}"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_before_any_training(sparsities, message):
    with pytest.raises(ValueError, match=message):
        kip.prune(small_model(), 0.5, allocation=sparsities)


def test_numbers_may_be_those_of_layers_and_the_nearest_counts():
    scores = {k: np.arange(10) for k in ("a/q/kernel", "a/v/kernel", "b/kernel")}
    allocate = PerLayer({"a": 0.5, "a/v": 0.2, "b/kernel": 0.8})
    kept = [mask.sum() for mask in allocate(scores, 0.5).values()]
    assert kept == [5, 8, 2]
    with pytest.raises(ValueError, match=r"Missing: \['ab/kernel'\]"):
        allocate({"ab/kernel": np.arange(4)}, 0.5)
    numbers = {"hidden": 0.8, "other": 0.4}
    pruned = kip.prune(small_model(), 0.5, allocation=numbers, schedule="manual")
    pruned.prune_to(0.5)
    shares = {key: 1 - mask.numpy().mean() for key, mask in pruned.masks.items()}
    assert shares == pytest.approx({"hidden/kernel": 0.8, "other/kernel": 0.4})


def test_numbers_for_each_layer_may_be_a_dictionary():
    sparsities = {"hidden/kernel": 0.8, "other/kernel": 0.4}
    pruned = kip.prune(small_model(), 0.5, allocation=sparsities, schedule="manual")
    pruned.prune_to(0.5)
    kept = {key: mask.numpy().mean() for key, mask in pruned.masks.items()}
    assert kept == pytest.approx({key: 1 - own for key, own in sparsities.items()})


def test_numbers_for_each_layer_are_those_of_units_where_units_go():
    sparsities = {"hidden/kernel": 0.8, "other/kernel": 0.4}  # of 10 and of 30 units
    choices = {"pattern": "units", "schedule": "manual"}
    pruned = kip.prune(small_model(), 0.5, allocation=sparsities, **choices)
    pruned.prune_to(0.5)
    units = [int(pruned.masks[key].numpy().any(0).sum()) for key in sparsities]
    assert units == [2, 18]
    with pytest.raises(ValueError, match="remove 0.5 of all weights"):
        kip.prune(small_model(), 0.6, allocation=sparsities, pattern="units")


@pytest.mark.parametrize(
    "allocation", [Shuffled(), {"hidden/kernel": 0.8, "other/kernel": 0.4}]
)
def test_what_n_by_m_would_ignore_is_refused(allocation):
    pattern = kip.patterns.NByM(2, 4)
    with pytest.raises(ValueError, match="nothing to allocate or to shuffle"):
        kip.prune(small_model(), 0.5, allocation=allocation, pattern=pattern)
    same = {"hidden/kernel": 0.5, "other/kernel": 0.5}
    kip.prune(small_model(), 0.5, allocation=same, pattern=pattern)


def test_lamp_lets_what_is_below_zero_go_first_in_its_order():
    scores = {"a": np.array([-5.0, -4, -3, -2]), "b": np.array([-0.1, -6, 1, 2])}
    masks = allocation.get("lamp")(scores, 0.375)
    np.testing.assert_array_equal(masks["a"], [False, False, True, True])
    np.testing.assert_array_equal(masks["b"], [True, False, True, True])


# Shuffled


@settings(max_examples=50)
@given(scores_strategy(), st.sampled_from(SPARSITIES), st.integers(0, 9))
def test_shuffled_keeps_as_many_of_each_tensor(scores, sparsity, seed):
    for name in ("global", "uniform"):
        masks = allocation.get(name)(scores, sparsity)
        shuffled = Shuffled(name, seed)(scores, sparsity)
        assert list(shuffled) == list(masks)
        for key, mask in masks.items():
            assert shuffled[key].shape == mask.shape
            assert shuffled[key].sum() == mask.sum()


def test_shuffled_keeps_every_place_equally_often():
    scores = {"a": np.arange(6.0), "b": np.arange(6.0)}
    masks = [Shuffled("uniform", seed)(scores, 0.5) for seed in range(1000)]
    for key in scores:
        kept = np.mean([mask[key] for mask in masks], axis=0)
        np.testing.assert_allclose(kept, 0.5, atol=0.08)  # five standard deviations
    same = np.mean([np.array_equal(mask["a"], mask["b"]) for mask in masks])
    assert same == pytest.approx(1 / 20, abs=0.035)  # 6 over 3 ways, by chance


def test_the_seed_makes_the_order():
    scores = random_scores()
    first, again, other = (Shuffled(seed=seed)(scores, 0.5) for seed in (0, 0, 1))
    for key in scores:
        np.testing.assert_array_equal(first[key], again[key])
    assert any(np.any(first[key] != other[key]) for key in scores)


def test_what_is_shuffled_may_be_tensors():
    def first(scores, sparsity):
        return {key: keras.ops.arange(len(v)) < 2 for key, v in scores.items()}

    assert Shuffled(first)({"a": np.arange(6)}, 0.5)["a"].sum() == 2


@pytest.mark.parametrize(
    "allocate",
    [
        PerLayer(
            {"conv/kernel": 0.25, "dense/kernel": np.float64(0.9), "out/kernel": 1}
        ),
        Shuffled("uniform", seed=3),
        Shuffled(
            PerLayer({"conv/kernel": 0.5, "dense/kernel": 0.0, "out/kernel": 0.1}), 5
        ),
    ],
    ids=["per_layer", "shuffled", "shuffled_per_layer"],
)
def test_allocations_come_back_from_their_config(allocate):
    saved = json.dumps(keras.saving.serialize_keras_object(allocate))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    assert type(again) is type(allocate)
    scores = random_scores()
    expected = allocate(scores, 0.8)
    assert not all(mask.all() for mask in expected.values())
    for key, mask in again(scores, 0.8).items():
        np.testing.assert_array_equal(mask, expected[key])


@pytest.mark.parametrize("allocate", ALLOCATIONS.values(), ids=named)
def test_allocations_of_the_table_come_back_as_themselves(allocate):
    saved = json.dumps(keras.saving.serialize_keras_object(allocate))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    if isinstance(allocate, Configured):
        assert type(again) is type(allocate)
        assert again.get_config() == allocate.get_config()
    else:
        assert again is allocate


def small_first(scores, sparsity):
    return {key: values <= sparsity for key, values in scores.items()}


def test_get_takes_names_and_callables():
    assert allocation.get("global") is global_topk
    assert allocation.get("uniform") is uniform
    assert allocation.get(small_first) is small_first


def test_get_names_near_matches_and_all_names():
    every = ", ".join(map(repr, sorted(ALLOCATIONS)))
    with pytest.raises(ValueError, match=f"Did you mean 'uniform'.*{every}"):
        allocation.get("unifrom")
    with pytest.raises(TypeError, match="^An allocation must be a name.*3"):
        allocation.get(3)


@pytest.mark.parametrize("schedule", ["gradual", "rewire"])
def test_shuffled_checks_masks_that_are_made_at_once(schedule):
    score = "set" if schedule == "rewire" else "magnitude"
    choices = {"allocation": Shuffled(), "score": score, "schedule": schedule}
    with pytest.raises(ValueError, match="Shuffled checks masks that are made once"):
        kip.prune(small_model(), 0.5, **choices)


def remaining(weights, share, relative):
    """Masks of a NumPy reference, which removes a share of what is left."""
    left = np.concatenate([relative[key][weights[key] != 0] for key in weights])
    threshold = np.sort(left)[int(round(share * left.size)) - 1]
    return {key: (weights[key] != 0) & (relative[key] > threshold) for key in weights}


@pytest.mark.parametrize(
    "name, reference",
    [
        ("global", lambda w: remaining(w, 0.5, {k: np.abs(v) for k, v in w.items()})),
        (
            "uniform",
            lambda w: {
                k: remaining({k: v}, 0.5, {k: np.abs(v)})[k] for k, v in w.items()
            },
        ),
        (
            "class_distributed",
            lambda w: remaining(
                w, 0.5, {k: np.abs(v) / np.sqrt(np.mean(v**2)) for k, v in w.items()}
            ),
        ),
    ],
)
def test_a_variant_in_rounds_removes_shares_of_what_is_left(name, reference):
    layers = [keras.layers.Dense(16, kernel_initializer="he_normal") for _ in range(2)]
    network = keras.Sequential([keras.Input((32,)), *layers])
    model = kip.prune(
        network, 0.875, allocation=name, schedule="manual", select=lambda *_: True
    )
    for sparsity in (0.5, 0.75, 0.875):
        model.masked.apply_masks()
        weights = {key: v.numpy() for key, v in model.masked.prunable.items()}
        model.prune_to(sparsity)
        for key, mask in reference(weights).items():
            np.testing.assert_array_equal(model.masks[key].numpy() != 0, mask)
