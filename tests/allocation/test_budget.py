import logging

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

import keras_invprune as kip
import zoo
from keras_invprune.allocation import ALLOCATIONS, Budget
from keras_invprune.allocation import budget as budgets
from keras_invprune.allocation.budget import Sum
from keras_invprune.patterns import NByM, Units
from keras_invprune.runtimes import RUNTIMES
from keras_invprune.schedules import OneShot
from keras_invprune.tfmot import sparsity as tfmot


def network():
    """A residual network of three families of units, and what does not go."""
    x = inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.Conv2D(6, 3, padding="same", name="one")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(8, 1, name="two")(y)
    x = layers.GlobalAveragePooling2D()(x + y)
    x = layers.Dense(5, "relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x), name="network")


def dense():
    sizes = [layers.Dense(12, "relu"), layers.Dense(8, "relu"), layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *sizes])


def finished(model, budget, **choices):
    choices = {"pattern": "units", "schedule": "manual"} | choices
    pruned = kip.prune(model, budget, **choices)
    pruned.prune_to(pruned.plan.sparsity)
    return pruned


def present(pruned):
    return {key: mask.numpy() for key, mask in pruned.masks.items()}


def left(pruned, budget):
    """What compaction leaves, counted on the smaller model itself."""
    return budget.measure(kip.compact(kip.strip_pruning(pruned)))


class Clockless:
    """A runtime whose milliseconds are MACs / 1000; it counts what it measures."""

    def __init__(self):
        self.measured = []

    def milliseconds(self, models):
        self.measured += [("file", model.name) for model in models]
        return [Budget(macs=1).measure(model) / 1e3 for model in models]

    def cost(self, model):
        self.measured.append(("table", model.name))
        each = budgets.macs_of(model).each
        return Sum({key: count / 1e3 for key, count in each.items()})


@pytest.fixture
def clockless(monkeypatch):
    runtime = Clockless()
    monkeypatch.setitem(RUNTIMES, "clockless", runtime)
    return runtime


@pytest.mark.parametrize(
    "fields, message",
    [
        ({}, "A budget has one of macs, bytes, milliseconds"),
        ({"macs": 0.5, "bytes": 0.5}, "A budget has one of"),
        ({"macs": 0}, "`macs` must be a positive number"),
        ({"bytes": -0.5}, "`bytes` must be a positive number"),
        ({"milliseconds": float("nan")}, "`milliseconds` must be a positive number"),
        ({"macs": True}, "`macs` must be a positive number"),
        ({"macs": "0.5"}, "`macs` must be a positive number"),
        ({"macs": 1.5}, "a share of the given network's, up to 1.*Pass an int"),
        ({"milliseconds": 1, "runtime": "litert"}, "Did you mean 'litert-cpu'"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Budget(**fields)


@pytest.mark.parametrize(
    "budget, text",
    [
        (Budget(macs=0.5), "Budget(macs=0.5)"),
        (Budget(bytes=300), "Budget(bytes=300)"),
        (
            Budget(milliseconds=2.0),
            "Budget(milliseconds=2.0, runtime='litert-cpu')",
        ),
    ],
)
def test_a_budget_says_what_it_limits_and_survives_its_config(budget, text):
    assert repr(budget) == text
    config = keras.saving.serialize_keras_object(budget)
    assert keras.saving.deserialize_keras_object(config) == budget


@pytest.mark.parametrize(
    "given, plain",
    [
        ({"macs": np.float32(0.5)}, Budget(macs=0.5)),
        ({"macs": np.float64(0.5)}, Budget(macs=0.5)),
        ({"bytes": np.int64(300)}, Budget(bytes=300)),
        ({"milliseconds": np.float32(2)}, Budget(milliseconds=2.0)),
    ],
)
def test_numbers_of_numpy_are_numbers(given, plain):
    assert repr(Budget(**given)) == repr(plain)


def test_macs_and_bytes_are_those_of_the_model():
    model = network()
    assert Budget(macs=1).measure(model) == kip.report(model).macs["dense"]
    assert Budget(bytes=1).measure(model) == 4 * model.count_params()


@pytest.mark.parametrize("budget", [Budget(macs=0.5), Budget(bytes=0.5)])
def test_a_model_with_masks_is_not_measured(budget):
    pruned = kip.prune(dense(), 0.5, pattern="units")
    with pytest.raises(ValueError, match="plain model.*masks.*strip_pruning"):
        budget.check(pruned, dense=dense())


@pytest.mark.parametrize("kind", ["macs", "bytes", "milliseconds"])
def test_what_is_not_a_built_model_is_not_measured(kind):
    budget = Budget(**{kind: 1})
    with pytest.raises(ValueError, match="is not built.*keras.Input"):
        budget.measure(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(TypeError, match="a Keras 3 model.*Received: builtins.int"):
        budget.measure(3)


def test_a_share_or_a_number_leaves_a_share():
    assert Budget(macs=0.25).share(1000.0) == 0.25
    assert Budget(macs=250).share(1000.0) == 0.25
    assert Budget(bytes=2000).share(1000.0) == 1.0


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("kind", ["macs", "bytes"])
def test_what_compaction_leaves_is_what_was_predicted(kind, allocation):
    budget = Budget(**{kind: 0.5})
    model = network()
    pruned = finished(model, budget, allocation=allocation)
    found, given = left(pruned, budget), budget.measure(model)
    predicted = 1 - pruned.state.share(present(pruned))
    assert found / given == pytest.approx(predicted, abs=1e-9)
    assert found <= 0.5 * given


@pytest.mark.parametrize("number", [2000, 20_000])
def test_a_number_of_macs_is_met(number):
    budget = Budget(macs=number)
    found = left(finished(network(), budget), budget)
    assert found <= number


def test_one_group_less_would_not_meet_the_budget():
    model, budget = dense(), Budget(macs=0.5)
    pruned = finished(model, budget)
    count = sum(pruned.plan.dependencies.families.values())
    removed = count - sum(
        shape[0] for key, shape in shapes(pruned).items() if key != "head"
    )
    alone = kip.prune(model, (removed - 1) / count, pattern="units", schedule="manual")
    alone.prune_to((removed - 1) / count)
    assert left(pruned, budget) <= 0.5 * budget.measure(model) < left(alone, budget)


def shapes(pruned):
    """The outputs of the layers that are pruned, after compaction."""
    small = kip.compact(kip.strip_pruning(pruned))
    return {layer.name: (layer.units,) for layer in small.layers[:-1]}


@pytest.mark.parametrize("pattern", ["units", Units(round_to=2)])
@pytest.mark.parametrize("seed", range(4))
def test_removed_groups_stay_removed_on_the_way_to_a_budget(seed, pattern):
    # Groups cost different amounts, so that a step may remove more than was asked for.
    random = np.random.default_rng(seed)

    def score(weights, model):
        return {k: np.abs(w) * random.random(w.shape[-1]) for k, w in weights.items()}

    choices = {"score": score, "pattern": pattern, "schedule": "manual"}
    pruned = kip.prune(network(), Budget(macs=0.3), **choices)
    before = present(pruned)
    for share in np.linspace(0.1, pruned.plan.sparsity, 30):
        pruned.prune_to(share)
        after = present(pruned)
        assert pruned.state.removed >= share - 1e-6
        assert all((after[key] <= before[key]).all() for key in after)
        before = after


def test_less_than_is_removed_cannot_be_asked_for(tmp_path):
    pruned = kip.prune(dense(), Budget(macs=0.3), pattern="units", schedule="manual")
    pruned.prune_to(0.5)
    pruned.prune_to(0.5)  # as much is no less
    pruned.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    for model in (pruned, loaded):
        before = present(model)
        with pytest.raises(ValueError, match="of the cost is removed.*start again"):
            model.prune_to(0.4)
        for key, mask in present(model).items():
            np.testing.assert_array_equal(mask, before[key])
        model.prune_to(model.plan.sparsity)
        assert model.finished
        with pytest.raises(ValueError, match="cannot come back"):
            model.prune_to(0.5)


def test_more_than_was_asked_for_may_be_gone():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, "relu"), layers.Dense(2)]
    )
    pruned = kip.prune(model, Budget(macs=0.5), pattern="units", schedule="manual")
    pruned.prune_to(0.1)
    assert pruned.state.removed == pytest.approx(0.5)  # a group is half of it
    pruned.prune_to(0.3)
    with pytest.raises(ValueError, match="cannot come back"):
        pruned.prune_to(0.2)


def test_a_file_from_before_shares_were_saved_goes_on():
    pruned = kip.prune(dense(), Budget(macs=0.3), pattern="units", schedule="manual")
    pruned.prune_to(0.5)
    pruned.state.remembered.asked = None
    with pytest.raises(ValueError, match="cannot come back"):
        pruned.prune_to(0.4)
    pruned.prune_to(pruned.plan.sparsity)


def test_a_schedule_of_tfmot_leads_to_a_budget():
    schedule = tfmot.PolynomialDecay(0.0, 0.5, 2, 12, frequency=2)
    pruned = kip.prune(dense(), Budget(macs=0.5), pattern="units", schedule=schedule)
    pruned.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 4))
    pruned.fit(x, x[:, :2], batch_size=1, epochs=2, verbose=0)
    whole = Budget(macs=1).measure(dense())
    assert pruned.finished and left(pruned, Budget(macs=1)) <= whole / 2


def test_round_to_keeps_multiples_within_the_budget():
    budget = Budget(macs=0.5)
    pruned = finished(network(), budget, pattern=Units(round_to=2))
    small = kip.compact(kip.strip_pruning(pruned))
    assert budget.check(small, dense=network()) <= 0.5 * budget.measure(network())
    sizes = [small.get_layer(name).kernel.shape[-1] for name in ("stem", "one")]
    assert all(size % 2 == 0 for size in sizes)


def test_a_gradual_schedule_moves_the_cost_down_to_the_budget():
    budget, x = Budget(macs=0.4), np.random.default_rng(0).normal(size=(32, 4))
    pruned = kip.prune(dense(), budget, pattern="units", schedule="gradual")
    pruned.compile("sgd", "mse")
    costs = []
    see = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: costs.append(1 - pruned.state.share(present(pruned)))
    )
    pruned.fit(x, np.zeros((32, 2)), 8, epochs=6, verbose=0, callbacks=[see])
    assert pruned.finished and costs[-1] <= 0.4
    assert costs == sorted(costs, reverse=True) and costs[0] > 0.5


@pytest.mark.parametrize("pattern", ["units", Units(round_to=4)])
def test_a_budget_that_cannot_be_met_names_the_nearest(pattern):
    model = dense()
    with pytest.raises(ValueError, match="cannot be met") as error:
        kip.prune(model, Budget(macs=3), pattern=pattern)
    nearest = {"units": 1 * 4 + 1 + 2}.get(pattern, 4 * 4 + 4 * 4 + 4 * 2)
    assert f"has {nearest} " in str(error.value)
    kip.prune(model, Budget(macs=nearest), pattern=pattern)  # and that can be met


def test_a_budget_that_rounding_keeps_from_being_met_says_so():
    with pytest.raises(ValueError, match="cannot be met") as error:
        kip.prune(dense(), Budget(macs=39), pattern=Units(round_to=4))
    message = str(error.value)
    assert "has 40 when" in message and "round_to=4" in message
    assert "multiples of 4, and without rounding 7 would be left" in message
    assert message.endswith("Use a smaller `round_to`, or a larger budget.")
    kip.prune(dense(), Budget(macs=39), pattern=Units(round_to=3))
    for pattern in ("units", Units(round_to=4)):  # no multiple would be small enough
        with pytest.raises(ValueError, match="larger budget, or select") as error:
            kip.prune(dense(), Budget(macs=6), pattern=pattern)
        assert "multiples" not in str(error.value)


def test_a_share_that_rounding_keeps_from_being_removed_says_so():
    pruned = finished(dense(), Budget(macs=0.5), pattern=Units(round_to=4))
    with pytest.raises(ValueError, match=r"round_to=4\) has to keep cost .* 0.25\."):
        pruned.prune_to(0.9)


def test_a_budget_for_a_network_whose_units_all_stay_says_why():
    normalized = [layers.Dense(8), layers.LayerNormalization(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *normalized])
    with pytest.raises(ValueError, match="fits none.*needs all of them"):
        kip.prune(model, Budget(macs=0.5), pattern="units")


def test_a_budget_above_the_cost_removes_nothing():
    pruned = finished(dense(), Budget(macs=10_000))
    assert pruned.plan.sparsity == 0.0 == pruned.sparsity


@pytest.mark.parametrize("pattern", [None, NByM(2, 4), Units(tied=False)])
def test_another_pattern_is_refused_before_anything_is_measured(pattern, clockless):
    budget = Budget(milliseconds=1.0, runtime="clockless")
    with pytest.raises(ValueError, match="needs pattern='units'"):
        kip.prune(dense(), budget, pattern=pattern)
    assert clockless.measured == []


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"score": "magnitud"}, "Did you mean 'magnitude'"),
        ({"allocation": "globl"}, "Did you mean 'global'"),
        ({"schedule": "gradul"}, "Did you mean 'gradual'"),
        ({"objective": "invarianc"}, "Did you mean 'invariance'"),
        ({"rewind": "initially"}, "`rewind` must be"),
        ({"select": ["dens"]}, "`select` must name"),
        ({"score": "movement", "schedule": "at_init"}, "is learned while"),
        ({"schedule": OneShot(0.5), "select": ["dens"]}, "`select` must name"),
    ],
)
def test_a_wrong_choice_is_refused_before_anything_is_measured(
    choices, message, clockless
):
    budget = Budget(milliseconds=0.1, runtime="clockless")
    with pytest.raises(ValueError, match=message):
        kip.prune(dense(), budget, pattern="units", **choices)
    assert clockless.measured == []


def test_a_schedule_must_end_where_the_budget_does(clockless):
    budget = Budget(milliseconds=0.08, runtime="clockless")  # of 0.16
    pruned = kip.prune(dense(), budget, pattern="units", schedule=OneShot(0.5))
    assert pruned.plan.sparsity == pytest.approx(0.5)
    with pytest.raises(ValueError, match="agree on the final sparsity"):
        kip.prune(dense(), budget, pattern="units", schedule=OneShot(0.4))


def test_sparsities_of_layers_leave_a_budget_nothing_to_decide():
    allocation = {"dense": 0.5, "dense_1": 0.5}
    with pytest.raises(ValueError, match="only one of the two"):
        kip.prune(dense(), Budget(macs=0.5), pattern="units", allocation=allocation)


def test_a_tf_keras_model_is_refused():
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,))])
    with pytest.raises(TypeError, match="budgets do not apply"):
        kip.prune(model, Budget(macs=0.5), pattern="units")


def test_a_subclassed_model_is_refused():
    budget = Budget(macs=0.5)
    with pytest.raises(ValueError, match="Sequential or Functional"):
        kip.prune(zoo.subclassed().model, budget, pattern="units", copy=False)


def test_a_model_whose_macs_are_unknown_is_refused():
    class Own(layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(shape[-1], 2), name="factor")

        def call(self, x):
            return x @ self.factor

    model = keras.Sequential([keras.Input((3,)), Own()])
    with pytest.raises(ValueError, match="MACs of .* are unknown"):
        Budget(macs=0.5).measure(model)
    assert Budget(bytes=0.5).measure(model) == 24


def test_prune_for_invariance_takes_a_budget():
    budget = Budget(bytes=0.5)
    pruned = kip.prune_for_invariance(dense(), budget, pattern="units")
    pruned.prune_to(pruned.plan.sparsity)
    assert left(pruned, budget) <= 0.5 * budget.measure(dense())


def test_milliseconds_are_measured_once_and_never_on_loading(clockless, tmp_path):
    budget = Budget(milliseconds=0.07, runtime="clockless")
    model = dense()
    pruned = kip.prune(model, budget, pattern="units", schedule="manual")
    measured = list(clockless.measured)
    assert measured[0] == ("table", model.name)
    assert {what for what, _ in measured[1:]} == {"file"}
    pruned.prune_to(pruned.plan.sparsity / 2)
    pruned.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.prune_to(resumed.plan.sparsity)
    pruned.prune_to(pruned.plan.sparsity)
    assert clockless.measured == measured
    for key, mask in pruned.masks.items():
        np.testing.assert_array_equal(mask, resumed.masks[key])
    assert left(resumed, budget) <= 0.07


def test_a_cost_that_cannot_be_saved_is_measured_again(clockless, tmp_path):
    table = clockless.cost

    def unsaved(model):
        found = table(model)

        def cost(shapes):  # without a config
            return found(shapes)

        return cost

    clockless.cost = unsaved
    budget = Budget(milliseconds=0.07, runtime="clockless")
    pruned = kip.prune(dense(), budget, pattern="units", schedule="manual")
    pruned.save(tmp_path / "half.keras")
    clockless.measured.clear()
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert clockless.measured
    resumed.prune_to(resumed.plan.sparsity)
    assert left(resumed, budget) <= 0.07


def test_check_says_by_how_much_a_budget_is_missed(caplog):
    model = dense()  # 48 + 96 + 16 = 160 MACs
    with caplog.at_level(logging.INFO, "keras_invprune"):
        assert Budget(macs=128).check(model) == 160
        assert Budget(macs=0.5).check(model, dense=model) == 160
        assert Budget(macs=200).check(model) == 160
    missed, twice, met = caplog.records
    assert "(+25.0 %)" in missed.getMessage() and missed.levelname == "WARNING"
    assert "(+100.0 %)" in twice.getMessage() and twice.levelname == "WARNING"
    assert "(-20.0 %)" in met.getMessage() and met.levelname == "INFO"


def test_check_of_a_share_needs_the_given_network():
    with pytest.raises(ValueError, match=r"check\(small, dense=model\)"):
        Budget(macs=0.5).check(dense())


def test_a_budget_and_a_score_that_moves_masks_do_not_combine():
    with pytest.raises(ValueError, match="no gradients to return.*Budget"):
        choices = {"pattern": "units", "score": "rigl", "schedule": "rewire"}
        kip.prune(network(), Budget(macs=0.5), **choices)


def test_layers_at_each_step_count():
    x = inputs = keras.Input((10, 8))
    for _ in range(2):
        x = layers.TimeDistributed(layers.Dense(64, "relu"))(x)
    x = layers.Dense(4, "relu")(layers.GlobalAveragePooling1D()(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    cost = 10 * (8 * 64 + 64 * 64) + 64 * 4 + 4 * 2
    budget = Budget(macs=0.5)
    assert budget.measure(model) == cost
    assert left(finished(model, budget), budget) <= cost / 2


def test_kernels_that_do_not_count_are_named(caplog):
    times = zoo.Lookup(name="times")
    model = keras.Sequential([keras.Input((4,)), times, layers.Dense(2)])
    with caplog.at_level("WARNING", "keras_invprune"):
        assert Budget(macs=0.5).measure(model) == 8
    assert "are unknown and count as 0" in caplog.text
    assert "times/table" in caplog.text
