"""What scores, allocations and patterns of the user's own may return."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.masks.selection import keep_count
from keras_invprune.pruning.plan import Plan


def model():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(3)]
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"allocation": lambda scores, sparsity: {}}, "An allocation.*hidden/kernel"),
        ({"allocation": lambda scores, sparsity: scores}, "must return masks of 0 and"),
        ({"score": lambda weights, model: {}}, "A score must.*hidden/kernel"),
        (
            {"score": lambda weights, model: {k: w[0] for k, w in weights.items()}},
            "A score must return one array of the weight's shape",
        ),
        (
            {"pattern": lambda scores, sparsity, allocation: {"x": np.ones(3)}},
            "An allocation, or a pattern, must return.*'hidden/kernel', 'x'",
        ),
    ],
)
def test_what_does_not_fit_the_weights_is_refused(parts, message):
    pruned = kip.prune(model(), 0.5, **parts)
    with pytest.raises(ValueError, match=message):
        pruned.prune_to(0.5)
    assert pruned.sparsity == 0 and not pruned.finished


def test_tensors_are_as_good_as_arrays():
    def score(weights, model):
        return {key: tf.abs(weight) for key, weight in weights.items()}

    def allocation(scores, sparsity):
        masks = kip.allocation.uniform(scores, sparsity)
        return {key: tf.cast(mask, "int32") for key, mask in masks.items()}

    pruned = kip.prune(model(), 0.5, score=score, allocation=allocation)
    pruned.prune_to(0.5)
    assert pruned.finished and pruned.sparsity == 0.5


# Rounds


class Witness:
    """Magnitudes, in rounds; remembers which weights it was shown."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.shown = []

    def __call__(self, weights, model):
        self.shown.append({key: weight.copy() for key, weight in weights.items()})
        return {key: np.abs(weight) for key, weight in weights.items()}


def weights():
    generator = np.random.default_rng(0)
    return {"a": generator.normal(size=(20, 30)), "b": generator.normal(size=(40, 10))}


@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.99])
def test_a_score_in_rounds_sees_the_density_fall_by_one_factor(rounds, sparsity):
    score, given = Witness(rounds), weights()
    masks = Plan.of(sparsity, score=score).masks(given, None, sparsity)
    assert len(score.shown) == rounds
    counts = [sum(map(np.count_nonzero, shown.values())) for shown in score.shown]
    shares = [1 - (1 - sparsity) ** (n / rounds) for n in range(rounds)]
    assert counts == [keep_count(1000, share) for share in shares]
    assert sum(mask.sum() for mask in masks.values()) == keep_count(1000, sparsity)
    for key, weight in weights().items():
        np.testing.assert_array_equal(given[key], weight)  # no matter what was masked


def test_what_a_round_prunes_stays_pruned_in_the_next():
    score, given = Witness(rounds=4), weights()
    masks = Plan.of(0.9, score=score).masks(given, None, 0.9)
    shown = [*score.shown, {key: given[key] * masks[key] for key in given}]
    for key, weight in given.items():
        np.testing.assert_array_equal(shown[0][key], weight)
    for before, after in zip(shown, shown[1:], strict=False):
        for key in given:
            kept = after[key] != 0
            assert np.all(before[key][kept] == given[key][kept])
            assert np.all(after[key][kept] == given[key][kept])


def test_rounds_keep_to_the_pattern_and_end_at_its_sparsity():
    score = Witness(rounds=4)
    plan = Plan.of(0.5, score=score, pattern=kip.patterns.NByM(2, 4))
    masks = plan.masks(weights(), None, 0.5)
    for mask in masks.values():
        assert np.all(mask.reshape(-1, 4, mask.shape[1]).sum(axis=1) == 2)


def test_a_schedule_with_updates_asks_for_all_rounds_at_each():
    score = Witness(rounds=3)
    pruned = kip.prune(model(), 0.8, score=score, schedule="manual")
    for number, sparsity in enumerate((0.5, 0.8), start=1):
        pruned.prune_to(sparsity)
        assert len(score.shown) == 3 * number
        assert pruned.sparsity == pytest.approx(sparsity, abs=0.02)


def test_of_several_rounds_only_the_last_is_shuffled():
    seen = []

    class Rounds:
        rounds = 3

        def __call__(self, weights, model):
            seen.append({key: weight != 0 for key, weight in weights.items()})
            return {key: np.abs(weight) for key, weight in weights.items()}

    weights = {"a": 1.0 + np.arange(64.0)}
    shuffled = kip.allocation.Shuffled("global", seed=0)
    mask = Plan.of(0.9, score=Rounds(), allocation=shuffled).masks(weights, None, 0.9)[
        "a"
    ]
    for kept in seen:  # the largest, hence the last
        assert np.array_equal(kept["a"], np.sort(kept["a"]))
    assert mask.sum() == 6 and not np.array_equal(mask, np.sort(mask))


def test_scores_of_a_diverged_training_are_refused():
    plan = Plan.of(0.5)
    weights = {"a": np.ones((2, 2)), "b": np.array([1.0, np.nan])}
    with pytest.raises(ValueError, match=r"\['b'\] contain NaN.*learning rate"):
        plan.masks(weights, None, 0.5)
    # What one's own score keeps or removes for certain is no fault.
    ends = {"a": np.array([np.inf, -np.inf, 1.0, 2.0])}
    plan = Plan.of(0.5, score=lambda weights, model: ends)
    masks = plan.masks({"a": np.ones(4)}, None, 0.5)
    np.testing.assert_array_equal(masks["a"], [True, False, False, True])


def test_scores_that_rank_nothing_are_logged(caplog):
    plan = Plan.of(0.5)
    plan.masks({"a": np.zeros(4), "b": np.array([0.0, 1.0])}, None, 0.5)
    assert not caplog.records
    plan.masks({"a": np.zeros(4), "b": np.zeros(2)}, None, 0.5)
    assert "All scores are zero" in caplog.text
    caplog.clear()
    plan.masks({"a": np.zeros((0, 2))}, None, 0.5)
    assert not caplog.records


def test_an_allocation_of_ones_own_is_asked_in_each_round():
    class Careful:
        def __init__(self):
            self.allocation, self.calls = kip.allocation.get("uniform"), 0

        def __call__(self, scores, sparsity):
            self.calls += 1
            return self.allocation(scores, sparsity)

    careful = Careful()
    plan = Plan.of(0.5, score=Witness(rounds=3), allocation=careful)
    plan.masks(weights(), None, 0.5)
    assert careful.calls == 3


def test_the_sparsity_of_a_pattern_can_be_copied_from_the_message():
    with pytest.raises(ValueError, match="Pass sparsity=") as found:
        Plan.of(0.6, pattern=kip.patterns.NByM(1, 3))
    wanted = str(found.value).rpartition("Pass sparsity=")[2].rstrip(".")
    Plan.of(float(wanted), pattern=kip.patterns.NByM(1, 3))
