"""Files that are timed until one of them meets a budget of milliseconds."""

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_array_equal

import keras_invprune as kip
from keras_invprune.allocation import Budget
from keras_invprune.allocation.budget import Sum, macs_of
from keras_invprune.graph.weights import shapes_of, weights_by_key
from keras_invprune.patterns import Units
from keras_invprune.pruning import timed
from keras_invprune.runtimes import RUNTIMES

COUNT = 400  # of units, of the same cost


def units(share):
    """The candidate of a share: how many units are left, as masks."""
    kept = int(np.floor(share * COUNT + 1e-9))
    return kept / COUNT, {"kept": kept}


class Timer:
    """Milliseconds of a number of units, by a function; it remembers all of them."""

    def __init__(self, function):
        self.function, self.asked = function, []

    def __call__(self, masks):
        self.asked.append(masks["kept"])
        return self.function(masks["kept"])


def found(function, limit, least=1):
    """The units that are left, and all that were timed."""
    timer = Timer(function)
    dense = function(COUNT)
    share, time = timed.largest(units, timer, limit * dense, dense, least / COUNT)
    left = None if share is None else units(share)[1]["kept"]
    assert left is None or function(left) == time
    return left, timer.asked


def linear(kept):
    return float(kept)


def stepped(kept):
    """Units are computed in blocks of 32, and those of an odd number are slower."""
    blocks = -(-kept // 32) * 32.0
    return blocks if kept % 32 == 0 else 1.25 * blocks


def bent(kept):
    """A network is slower than its layers, most of all in between."""
    return kept + 0.4 * kept * (COUNT - kept) / COUNT


def fixed(kept):
    return 0.3 * COUNT + 0.7 * kept


def faster(kept):
    """A network is faster than its layers let expect."""
    return kept**2 / COUNT


@pytest.mark.parametrize("limit", [0.9, 0.75, 0.5, 0.31, 0.1])
@pytest.mark.parametrize("function", [linear, stepped, bent, faster])
def test_the_largest_network_that_was_timed_and_meets_the_limit_is_found(
    function, limit
):
    left, asked = found(function, limit)
    allowed = limit * function(COUNT)
    assert len(asked) == len(set(asked)) <= timed.FILES
    assert left == max(kept for kept in asked if function(kept) <= allowed)


@pytest.mark.parametrize("limit", [0.9, 0.75, 0.5, 0.31])
@pytest.mark.parametrize("function", [linear, bent, faster, fixed])
def test_without_jumps_the_limit_is_used_up(function, limit):
    left, asked = found(function, limit)
    assert function(left) >= (1 - 2 * timed.CLOSE) * limit * function(COUNT)
    assert len(asked) <= 6


@pytest.mark.parametrize("limit", [0.9, 0.75, 0.5, 0.31, 0.1])
def test_at_a_jump_the_next_larger_network_misses_the_limit(limit):
    left, asked = found(stepped, limit)
    allowed = limit * stepped(COUNT)
    above = min((kept for kept in asked if stepped(kept) > allowed), default=COUNT)
    close = stepped(left) >= (1 - timed.CLOSE) * allowed
    spent = len(asked) == timed.FILES
    assert close or spent or above - left <= 1 + timed.GAP * above


def test_a_right_prediction_takes_one_file():
    assert found(linear, 0.5) == (COUNT // 2, [COUNT // 2])


@pytest.mark.parametrize("least", [1, 40, 300])
def test_a_limit_that_no_network_meets_takes_few_files(least):
    left, asked = found(fixed, 0.25, least)
    assert left is None
    assert asked[-1] == least and len(asked) <= timed.GUIDED + 1


def test_the_least_network_is_tried_though_the_prediction_is_above_the_limit():
    left, asked = found(faster, 0.4, least=200)
    assert asked[0] == 200 < left and faster(left) <= 0.4 * COUNT


class Blocks:
    """A runtime that computes the units of a layer in blocks of eight.

    A multiply-accumulate is a millisecond, and every file takes 100. Its table does not
    know blocks.
    """

    def __init__(self):
        self.files = 0

    def milliseconds(self, models):
        self.files += len(models)
        return [100 + sum(map(self._blocks, model.weights)) for model in models]

    def _blocks(self, weight):
        *others, width = weight.shape
        return float(np.prod(others) * (-(-width // 8) * 8)) if others else 0.0

    def cost(self, model):
        return Sum(dict(macs_of(model).each))


@pytest.fixture
def blocks(monkeypatch):
    runtime = Blocks()
    monkeypatch.setitem(RUNTIMES, "blocks", runtime)
    return runtime


def network():
    """Two wide layers and a branch that starts at zero."""
    x = inputs = keras.Input((8,))
    x = layers.Dense(64, "relu", name="one")(x)
    y = layers.Dense(64, name="two")(x)
    y = layers.BatchNormalization(gamma_initializer="zeros", name="gate")(y)
    y = layers.Dense(64, name="three")(layers.ReLU()(y))
    return keras.Model(inputs, layers.Dense(8, name="head")(x + y))


def whole():
    return Budget(macs=1).measure(network())


def budget(share):
    return Budget(milliseconds=share * whole(), runtime="blocks")


def compacted(pruned):
    pruned.prune_to(pruned.plan.sparsity)
    for weight in pruned.weights:  # as training does
        if weight.path.endswith(("gamma", "beta", "bias")):
            weight.assign(weight + 0.5)
    return kip.compact(kip.strip_pruning(pruned))


@pytest.mark.parametrize("multiple", [1, 2, 8])
@pytest.mark.parametrize("share", [0.75, 0.5, 0.2])
def test_the_file_of_a_pruned_network_meets_the_budget(share, multiple, blocks):
    choices = {"pattern": Units(round_to=multiple), "schedule": "manual"}
    pruned = kip.prune(network(), budget(share), **choices)
    files = blocks.files
    small = compacted(pruned)
    assert budget(share).check(small) <= share * whole()
    assert 0 < files <= timed.FILES
    widths = [small.get_layer(name).units for name in ("one", "two", "three")]
    assert all(width % multiple == 0 for width in widths)


def test_the_prediction_alone_would_miss_the_budget(blocks):
    model = network()
    pruned = kip.prune(model, budget(0.5), pattern="units", schedule="manual")
    assert pruned.plan.sparsity > 0.5
    pruned = kip.prune(model, Budget(macs=0.5), pattern="units", schedule="manual")
    assert budget(0.5).check(compacted(pruned)) > 0.5 * whole()


def test_nothing_is_timed_while_training(blocks, tmp_path):
    pruned = kip.prune(network(), budget(0.5), pattern="units", schedule="gradual")
    files = blocks.files
    pruned.compile("adam", "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(64, 8))
    pruned.fit(x, x, batch_size=8, epochs=4, verbose=0)
    pruned.save(tmp_path / "half.keras")
    keras.saving.load_model(tmp_path / "half.keras")
    assert pruned.finished and blocks.files == files
    assert budget(0.5).check(kip.compact(kip.strip_pruning(pruned))) <= 0.5 * whole()


def test_the_same_times_lead_to_the_same_share(blocks):
    choices = {"pattern": "units", "schedule": "manual"}
    made = [kip.prune(network(), budget(0.4), **choices) for _ in range(2)]
    assert made[0].plan.sparsity == made[1].plan.sparsity > 0


def test_a_budget_above_what_the_network_takes_is_not_timed(blocks):
    pruned = kip.prune(network(), budget(1.1), pattern="units", schedule="manual")
    assert pruned.plan.sparsity == 0 and blocks.files == 0


def test_a_budget_that_no_file_meets_names_the_nearest(blocks):
    with pytest.raises(ValueError, match="cannot be met: it allows 99 ") as error:
        kip.prune(network(), Budget(milliseconds=99, runtime="blocks"), pattern="units")
    nearest = 100 + 8 * 8 + 2 * 8 + 8
    assert f"has {nearest} in the fastest file that was timed" in str(error.value)
    assert "multiples" not in str(error.value)


def test_a_cut_network_has_the_shapes_that_masks_leave():
    model = network()
    before = [weight.numpy() for weight in model.weights]
    pruned = kip.prune(model, 0.5, pattern="units", schedule="manual")
    pruned.prune_to(0.5)
    masks = {key: mask.numpy() != 0 for key, mask in pruned.masks.items()}
    small = timed.cut(model, masks)
    expected = {"one": (8, 32), "two": (32, 32), "three": (32, 32), "head": (32, 8)}
    kernels = shapes_of(weights_by_key(small))
    assert {key.partition("/")[0]: s for key, s in kernels.items() if len(s) == 2} == (
        expected
    )
    for weight, value in zip(model.weights, before, strict=True):
        assert_array_equal(weight, value)
