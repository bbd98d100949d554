"""What a plain callable may tell of itself, and what stands for the rest."""

import keras
import pytest

import keras_invprune as kip
from keras_invprune import contracts
from keras_invprune.pruning.plan import Plan

CONTRACTS = [
    contracts.Allocation,
    contracts.Effective,
    contracts.Objective,
    contracts.Pattern,
    contracts.Schedule,
    contracts.Score,
    contracts.View,
]


class Plain:
    """Somebody's own callable, which derives from nothing of ours."""

    def __call__(self, *args):
        return args[0]


def members(contract):
    return [name for name in vars(contract) if not name.startswith("_")]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_plain_callable_is_asked_for_each_member_it_has(contract):
    for name in members(contract):
        plain, own = Plain(), object()
        setattr(plain, name, own)
        assert getattr(contract.of(plain), name) is own, name


@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_a_plain_callable_lacks_is_the_default(contract):
    found, default = contract.of(Plain()), contract()
    for name in set(members(contract)) - {"rewires"}:
        if not callable(getattr(default, name)):
            assert getattr(found, name) == getattr(default, name), name


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_object_of_ours_is_asked_itself(contract):
    ours = contract()
    assert contract.of(ours) is ours


def test_whether_a_plain_score_moves_connections_is_not_known():
    assert contracts.Score.of(Plain()).rewires is None
    assert contracts.Score.of(kip.scores.magnitude).rewires is False


def test_a_pattern_names_the_allocation_that_is_taken_if_none_is_given():
    pattern = Plain()
    pattern.default_allocation = "uniform"
    assert Plan.of(0.5, pattern=pattern).allocation is kip.allocation.uniform
    own = Plan.of(0.5, pattern=pattern, allocation="global")
    assert own.allocation is kip.allocation.global_topk
    assert Plan.of(0.5, pattern=Plain()).allocation is kip.allocation.global_topk
    pattern.default_allocation = "unifrom"
    with pytest.raises(ValueError, match="Did you mean 'uniform'"):
        Plan.of(0.5, pattern=pattern)


def test_a_plain_pattern_that_ends_at_one_sparsity_is_held_to_it():
    pattern = Plain()
    pattern.target_sparsity = 0.5
    assert Plan.of(0.5, pattern=pattern).pattern is pattern
    with pytest.raises(ValueError, match="always removes a share of 0.5"):
        Plan.of(0.7, pattern=pattern)


def test_a_model_is_unwrapped_with_its_masks():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="body")])
    pruned = kip.prune(model, 0.5, select="body", copy=False)
    assert contracts.unwrapped(pruned) == (model, pruned.masks)
    assert contracts.unwrapped(model) == (model, {})
