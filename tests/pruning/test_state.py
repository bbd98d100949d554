"""What pruning does to a model next to the training, and what is saved of it."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.pruning.state import PruningState, Remembered


def network():
    small = keras.initializers.RandomNormal(stddev=1e-6, seed=0)
    layers = [
        keras.layers.Dense(8, name="faint", kernel_initializer=small),
        keras.layers.Dense(8, name="strong"),
        keras.layers.Dense(2),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


# One ranking, which takes the faint units first.
RANKED = {"pattern": "units", "allocation": "global"}


def test_a_layer_that_loses_all_its_weights_is_named_once(caplog):
    model = kip.prune(network(), 0.9, schedule="manual")
    assert model.collapsed == []
    model.prune_to(0.6)
    assert "nothing is left of faint/kernel at step 0" in caplog.text
    assert model.collapsed == ["faint/kernel"]
    model.prune_to(0.9)
    assert caplog.text.count("nothing is left") == 1
    events = [what for _, what in model.events]
    assert events[0] == "nothing left of faint/kernel" and len(events) == 3


def test_where_units_are_not_weights_the_share_of_the_weights_is_told(caplog):
    pattern = kip.patterns.Units(tied=False)
    choices = RANKED | {"pattern": pattern}
    model = kip.prune(network(), 0.5, schedule="manual", **choices)
    model.prune_to(0.5)  # the eight faint units, of four weights each
    assert model.sparsity == pytest.approx(32 / 96)
    assert "Asked to remove 0.5, and 0.3333 of the weights" in caplog.text
    caplog.clear()
    model = kip.prune(network(), 0.5, schedule="manual")
    model.prune_to(0.5)
    model.prune_to(0.9)
    assert "Asked to remove" not in caplog.text


def test_units_that_are_tied_are_counted_and_one_of_each_family_stays(caplog):
    model = kip.prune(network(), 0.5, schedule="manual", **RANKED)
    model.prune_to(0.5)
    kept = [mask.numpy().any(0).sum() for mask in model.masks.values()]
    assert kept == [1, 8, 2]  # and the head reads all that is left
    assert model.sparsity == pytest.approx(84 / 112)
    assert "Asked to remove" not in caplog.text  # 7 of 16
    with pytest.raises(ValueError, match="removed weights cannot come back"):
        model.prune_to(0.2)


def test_messages_count_tied_units_as_the_target_does():
    pruned = kip.prune(network(), 0.75, schedule="manual", **RANKED)
    pruned.prune_to(0.5)
    assert pruned.sparsity == pytest.approx(84 / 112)  # of the weights
    with pytest.raises(ValueError, match="0.4375 is removed.*target is 0.75"):
        kip.strip_pruning(pruned)
    with pytest.raises(ValueError, match="share of 0.4375 of the groups is removed"):
        pruned.prune_to(0.25)


def test_a_training_that_stops_early_says_how_many_units_are_gone():
    pruned = kip.prune(network(), 0.5, schedule="gradual", **RANKED)
    pruned.compile("sgd", "mse")
    stop = keras.callbacks.LambdaCallback(on_epoch_end=_stop(pruned))
    x, y = np.ones((16, 4)), np.ones((16, 2))
    with pytest.warns(UserWarning, match="ended at sparsity 0.4375, before the target"):
        pruned.fit(x, y, 4, epochs=4, verbose=0, callbacks=[stop])
    assert pruned.sparsity > 0.5  # of the weights


def _stop(model):
    def after_two_epochs(epoch, logs):
        model.stop_training = epoch == 1

    return after_two_epochs


@pytest.mark.parametrize("allocation", ["erk", "lamp", "uniform", "class_distributed"])
def test_the_allocations_named_keep_some_of_each(allocation):
    model = kip.prune(network(), 0.9, schedule="manual", allocation=allocation)
    model.prune_to(0.9)
    assert model.collapsed == []


def test_stripping_looks_and_does_not_touch():
    model = kip.prune(network(), 0.9, schedule="manual", allocation="uniform")
    masks = {k: np.arange(m.numpy().size) % 2 for k, m in model.masks.items()}
    masks = {k: m.reshape(model.masks[k].shape) for k, m in masks.items()}
    model.masked.set_masks(masks, zero=False)
    before = [weight.numpy() for weight in model.inner.weights]
    stripped = kip.strip_pruning(model, allow_unfinished=True)
    for weight, value in zip(model.inner.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    for key, mask in masks.items():
        layer = stripped.get_layer(key.split("/")[0])
        assert not layer.kernel.numpy()[mask == 0].any()


def test_what_is_gone_does_not_come_back():
    model = kip.prune(network(), 0.8, schedule="manual", rewind=None)
    model.prune_to(0.8)
    kernels = [v.numpy().copy() for v in model.masked.prunable.values()]
    with pytest.raises(ValueError, match="cannot come back. Received: sparsity=0.5"):
        model.prune_to(0.5)
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert model.sparsity == pytest.approx(zeros / 96)
    for kernel, variable in zip(kernels, model.masked.prunable.values(), strict=True):
        np.testing.assert_array_equal(kernel, variable)


def test_an_update_of_the_masks_reads_them_once_and_copies_no_scores(monkeypatch):
    made, reads, present = {}, [], PruningState._present

    def score(weights, model):
        del model
        made.update({key: np.abs(weight) for key, weight in weights.items()})
        return made

    def allocate(scores, sparsity):
        assert all(np.shares_memory(made[key], scores[key]) for key in made)
        return kip.allocation.get("global")(scores, sparsity)

    choices = {"schedule": "manual", "score": score, "allocation": allocate}
    model = kip.prune(network(), 0.8, **choices)
    model.prune_to(0.5)
    monkeypatch.setattr(
        PruningState, "_present", lambda state: reads.append(state) or present(state)
    )
    model.prune_to(0.8)
    assert len(reads) == 1
    assert model.sparsity == pytest.approx(0.8, abs=1 / 96)


def test_a_schedule_that_falls_removes_no_less():
    def falling(step):
        return True, 0.9 if step == 4 else 0.6 if step == 1 else 0.3

    rng = np.random.default_rng(0)
    model = kip.prune(network(), 0.9, schedule=falling)
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    logs = model.fit(x, y, epochs=4, batch_size=8, verbose=0).history
    assert logs["sparsity"] == pytest.approx([58 / 96, 58 / 96, 58 / 96, 86 / 96])


@pytest.mark.parametrize("allocation", ["global", "uniform", "erk", "lamp"])
def test_zeros_of_one_layer_stay_whatever_share_an_allocation_gives_it(allocation):
    plain = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, name="sparse"),
            keras.layers.Dense(16, name="whole"),
            keras.layers.Dense(2),
        ]
    )
    kernel = plain.get_layer("sparse").kernel
    kept = np.abs(kernel.numpy()) > np.quantile(np.abs(kernel.numpy()), 0.97)
    kernel.assign(kernel.numpy() * kept)
    model = kip.prune(plain, 0.9, schedule="manual", allocation=allocation)
    model.prune_to(0.9)
    after = [kip.strip_pruning(model).get_layer(n).kernel.numpy() for n in LAYERS]
    assert not after[0][~kept].any()
    zeros = sum(int((kernel == 0).sum()) for kernel in after)
    assert model.sparsity == pytest.approx(zeros / (128 + 256))


LAYERS = "sparse", "whole"


def test_a_share_is_a_number():
    model = kip.prune(network(), 0.5, schedule="manual")
    with pytest.raises(TypeError, match="`sparsity` must be a number.*'0.5'"):
        model.prune_to("0.5")


KNOWN = {
    "rewind_to": {"b": np.array([[0.5, 2.0]], "float32"), "a": np.array(3)},
    "rewind_step": 4,
    "initial_rate": 0.1,
    "finished_step": 0,
    "asked": 0.5,
}


def test_all_that_is_remembered_is_saved_but_for_the_id_of_an_object():
    fields = {field.name for field in dataclasses.fields(Remembered)}
    assert fields - KNOWN.keys() == {"rated"}
    known = Remembered(**KNOWN, rated=7)
    arrays = known.to_arrays()
    names = {"rewind_0", "rewind_1", "step", "rate", "finished_step", "asked"}
    assert arrays.keys() == names
    again = Remembered.from_arrays(arrays, ["b", "a"])
    assert again == dataclasses.replace(known, rated=None)
    assert again.rewind_to["b"].dtype == "float32"


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_not_known_is_not_saved(name):
    known = Remembered(**(KNOWN | {name: None}))
    again = Remembered.from_arrays(known.to_arrays(), ["b", "a"])
    assert again == known and getattr(again, name) is None


def test_the_state_is_the_schedules_too_and_obeys_the_plan():
    def model(rewind):
        schedule = kip.schedules.WhenConverged(0.5, monitor="loss", patience=1)
        return kip.prune(network(), 0.5, schedule=schedule, rewind=rewind)

    saved, rewinds, stays = model("initial"), model("initial"), model(None)
    saved.compile("sgd", "mse")
    saved.begin_training()
    saved.plan.schedule.converged_at = 7
    for other in (rewinds, stays):
        other.state.from_arrays(saved.state.to_arrays(), rated=3)
        assert other.plan.schedule.state() == saved.plan.schedule.state()
        assert other.state.remembered.rated == 3
    assert stays.state.remembered.rewind_to is None
    kept = rewinds.state.remembered
    assert kept.rewind_step == 0 and kept.initial_rate == pytest.approx(0.01)
    values = saved.state.remembered.rewind_to.values()
    for value, own in zip(values, kept.rewind_to.values(), strict=True):
        np.testing.assert_array_equal(own, value)
    assert list(kept.rewind_to) == list(weights_by_key(rewinds.inner))
