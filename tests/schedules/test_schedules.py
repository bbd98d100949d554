"""When our schedules prune, and how much."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import keras_invprune as kip
from keras_invprune import schedules
from keras_invprune.callbacks import due_steps
from keras_invprune.schedules import Gradual, HoldBack, Manual, OneShot, WhenConverged
from keras_invprune.tfmot import sparsity as tfmot

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 2
STEPS = 4  # per epoch


def updates(schedule, steps, origin=0, known=True):
    """``{step: sparsity}`` for a whole training."""
    schedule.start(origin, steps if known else None)
    return due_steps(schedule, origin + 1, origin + steps)


# One shot


@pytest.mark.parametrize(
    ("at", "expected"),
    [(0.5, 51), (0.25, 26), (0.999, 101), (0, 1), (0.0, 1), (7, 8), (99, 100)],
)
def test_one_shot_prunes_before_the_first_step_after_its_time(at, expected):
    due = updates(OneShot(0.9, at), 101)
    assert due == {expected: 0.9}


def test_shares_count_from_where_the_training_begins():
    assert updates(OneShot(0.9, at=0.5), 10, origin=100) == {106: 0.9}
    assert updates(OneShot(0.9, at=5), 10, origin=100) == {106: 0.9}


def test_of_an_unknown_length_only_numbers_of_steps_are_due():
    assert updates(OneShot(0.9, at=5), 10, known=False) == {6: 0.9}
    assert updates(OneShot(0.9, at=0.0), 10, known=False) == {1: 0.9}
    for schedule in (OneShot(0.9), Gradual(0.9), WhenConverged(0.9)):
        assert updates(schedule, 10, known=False) == {}


@pytest.mark.parametrize("known", [True, False])
def test_at_init_is_due_before_the_first_step_however_long_the_training(known):
    assert updates(schedules.get("at_init", 0.9), 50, known=known) == {1: 0.9}
    assert updates(schedules.get("at_init", 0.9), 1, known=known) == {1: 0.9}


@pytest.mark.parametrize("rewind", [None, "initial"])
def test_at_init_masks_the_weights_given_before_any_training(rewind):
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, name="body"), keras.layers.Dense(2)]
    )
    initial = network.get_layer("body").kernel.numpy()
    model = kip.prune(network, 0.5, schedule="at_init", rewind=rewind)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # With momentum, a step on the dense network would go on moving what is masked.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss, jit_compile=False)

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weight = model.inner.get_layer("body").kernel.numpy()
            assert not weight[mask_of(model) == 0].any()

    history = model.fit(X, Y, batch_size=2, epochs=2, callbacks=[Spy()], verbose=0)
    kept = np.abs(initial) >= np.sort(np.abs(initial).ravel())[16]
    np.testing.assert_array_equal(mask_of(model), kept)
    assert history.history["sparsity"] == [0.5, 0.5]
    assert model.finished and model.finished_step == 0 and model.step == 8
    assert {step for step, _ in model.events} == {0}
    trained = kip.strip_pruning(model).get_layer("body").kernel.numpy()
    assert np.all(trained[~kept] == 0) and np.all(trained[kept] != initial[kept])


def mask_of(model):
    (mask,) = model.masks.values()
    return mask.numpy()


# Gradual


@given(
    st.floats(0, 0.99),
    st.floats(0, 0.8),
    st.floats(0.01, 0.19),
    st.integers(1, 12),
    st.integers(1, 300),
)
def test_gradual_rises_to_exactly_its_target(sparsity, begin, length, number, steps):
    schedule = Gradual(sparsity, begin, begin + length, updates=number)
    due = updates(schedule, steps)
    assert 1 <= len(due) <= number
    values = list(due.values())
    assert values == sorted(values)
    assert values[-1] == sparsity
    assert max(due) == min(round((begin + length) * steps), steps - 1) + 1


def test_gradual_literal():
    # s (1 - (1 - p)^3) at a third, two thirds and the end.
    due = updates(Gradual(0.9, begin=3, end=9, updates=3), 20)
    assert list(due) == [6, 8, 10]
    np.testing.assert_allclose(
        list(due.values()), [0.9 * 19 / 27, 0.9 * 26 / 27, 0.9], rtol=1e-15
    )


def test_gradual_is_tf_mots_polynomial_decay():
    ours = Gradual(0.9, begin=4, end=16, updates=4)
    theirs = tfmot.PolynomialDecay(0.0, 0.9, 5, 17, frequency=3)
    ours.start(0, 100)
    expected = due_steps(theirs, 6, 100)  # at step 5 it prunes nothing
    assert due_steps(ours, 6, 100) == pytest.approx(expected, rel=1e-6)


def test_gradual_reaches_its_target_in_a_training_of_one_step():
    assert updates(Gradual(0.9), 1) == {1: 0.9}


def test_begin_and_end_in_different_units_are_compared_once_training_begins():
    schedule = Gradual(0.9, begin=50, end=0.5)
    assert max(updates(schedule, 200)) == 101
    with pytest.raises(ValueError, match="begin=50 and end=0.5 in a training of 80"):
        schedule.start(0, 80)


@pytest.mark.parametrize("name", ["one_shot", "gradual", "when_converged", "manual"])
def test_each_answers_all_steps_at_once_as_one_by_one(name):
    schedule = schedules.get(name, 0.8)
    schedule.start(0, 50)
    steps = np.arange(1, 51)
    should_prune, sparsity = schedule(steps)
    for index, step in enumerate(steps):
        one = schedule(step)
        assert bool(one[0]) == np.broadcast_to(should_prune, 50)[index]
        if one[0]:
            assert float(one[1]) == np.broadcast_to(sparsity, 50)[index]


# When converged


def converge(schedule, values, steps=10):
    """The first step at which it prunes, one epoch of `steps` per value."""
    schedule.start(0, steps * len(values))
    for epoch, value in enumerate(values):
        due = due_steps(schedule, epoch * steps + 1, (epoch + 1) * steps)
        if due:
            return min(due)
        schedule.observe((epoch + 1) * steps, {"loss": value, "accuracy": 0.5})
    return None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 3, 2, 2, 2, 1, 1, 1, 1, 1], 51),  # two epochs without a fall
        ([4, 3, 3, 2, 2, 1.5, 1.5, 1, 1, 0.5], 81),  # never two: at the latest
        ([4, 3.99, 3.98, 3.9, 1, 1, 1, 1, 1, 1], 31),  # falls below 1 % are none
        ([-1, -1.005, -1.5, -1.505, -1.51, 0, 0, 0, 0, 0], 51),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 31),
    ],
)
def test_convergence_is_a_plateau_of_the_monitored_value(values, expected):
    schedule = WhenConverged(0.9, "loss", patience=2, at_latest=0.8)
    assert converge(schedule, values) == expected
    assert converge(schedule, values) == expected  # another training, from the start


def test_without_a_plateau_it_prunes_at_the_latest():
    falling = [2.0**-n for n in range(10)]
    assert converge(WhenConverged(0.9, "loss"), falling) == 71
    assert converge(WhenConverged(0.9, "loss", at_latest=33), falling) == 34
    assert converge(WhenConverged(0.9, "loss", patience=1), [1.0] * 10) == 21


def test_what_is_not_logged_is_named():
    with pytest.raises(ValueError, match=r"'invariance_loss'.*\['accuracy', 'loss'\]"):
        WhenConverged(0.9).observe(1, {"loss": 1, "accuracy": 1})
    with pytest.raises(ValueError, match=r"'val_accuracy'.*\['loss', 'val_loss'\]"):
        HoldBack(Gradual(0.9)).observe(1, {"loss": 1, "val_loss": 1})


def test_an_epoch_without_validation_changes_nothing():
    schedule = HoldBack(Gradual(0.9))
    schedule.start(0, 10)
    schedule.observe(1, {"val_accuracy": 0.9})
    schedule.observe(2, {"val_accuracy": 0.5})
    before = schedule.state()
    assert before["holding"]
    schedule.observe(4, {"loss": 1})
    assert schedule.state() == {**before, "held": 2, "last_step": 4}


def test_what_was_learned_survives_in_numbers():
    schedule = HoldBack(WhenConverged(0.9, "loss", patience=1))
    schedule.start(0, 100)
    for step in (10, 20, 30):
        schedule.observe(step, {"loss": 1.0, "val_accuracy": 1.0 - step / 100})
    again = HoldBack(WhenConverged(0.9, "loss", patience=1))
    again.start(0, 100)
    again.restore({name: np.asarray(v).item() for name, v in schedule.state().items()})
    assert again.state() == schedule.state()
    steps = np.arange(1, 101)
    for one, other in zip(again(steps), schedule(steps), strict=True):
        np.testing.assert_array_equal(one, other)


# In a fit


class Scripted(kip.callbacks.PruningCallback):
    """The pruning callback, told other values than those measured."""

    def __init__(self, name, values):
        super().__init__()
        self.script = name, values

    def on_epoch_end(self, epoch, logs=None):
        name, values = self.script
        super().on_epoch_end(epoch, {**logs, name: values[epoch]})


def sparsities(schedule, epochs, *callbacks, data=None, eagerly=True):
    """The sparsity after each step of a fit; 32 prunable weights."""
    dense = keras.layers.Dense
    network = keras.Sequential([keras.Input((4,)), dense(8), dense(2)])
    target = schedules.final_sparsity(schedule)
    model = kip.prune(network, target, schedule=schedule)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=eagerly, jit_compile=False)
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.sparsity)
    )
    arguments = {"x": data, "shuffle": False} if data else {"x": X, "y": Y}
    model.fit(
        **arguments,
        batch_size=None if data else 2,
        epochs=epochs,
        callbacks=[*callbacks, record],
        verbose=0,
    )
    assert model.step == len(seen)
    return seen


def test_hold_back_delays_while_the_metric_is_down():
    # Updates at steps 5 (1/4 of the weights), 9 (1/2) and 13 (3/4).
    inner = tfmot.PolynomialDecay(0.25, 0.75, 5, 13, power=1, frequency=4)
    values = [0.9, 0.5, 0.6, 0.88, 0.95, 0.95]
    told = Scripted("watched", values)
    seen = sparsities(HoldBack(inner, "watched", 0.05), 6, told)
    # Down after epochs 2 and 3, recovered after 4: the second update, due at step 9,
    # comes two epochs later, and so does the third.
    assert seen == [0] * 4 + [0.25] * 12 + [0.5] * 4 + [0.75] * 4


def test_hold_back_does_nothing_while_the_metric_is_up():
    inner = tfmot.PolynomialDecay(0.25, 0.75, 5, 13, power=1, frequency=4)
    told = Scripted("watched", [0.5, 0.6, 0.56, 0.6])
    seen = sparsities(HoldBack(inner, "watched", 0.05), 4, told)
    assert seen == [0] * 4 + [0.25] * 4 + [0.5] * 4 + [0.75] * 4


def test_hold_back_of_a_metric_that_should_fall():
    inner = tfmot.ConstantSparsity(0.75, 6)
    told = Scripted("loss", [1.0, 1.5, 1.0, 1.0])
    assert sparsities(HoldBack(inner, "loss", 0.1, "min"), 4, told) == (
        [0] * 5 + [0.75] * 11
    )
    told = Scripted("loss", [1.0, 0.5, 1.0, 0.5])
    schedule = HoldBack(tfmot.ConstantSparsity(0.75, 13), "loss", 0.1, "min")
    with pytest.warns(UserWarning, match="Training ended at sparsity 0"):
        assert sparsities(schedule, 4, told) == [0] * 16


def test_when_converged_in_a_fit():
    told = Scripted("loss", [3.0, 2.0, 2.0, 2.0, 1.0])
    schedule = WhenConverged(0.75, "loss", at_latest=0.9)
    assert sparsities(schedule, 5, told) == [0] * 16 + [0.75] * 4


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (HoldBack(Gradual(0.5)), "'val_accuracy'.*no validation_data"),
        (WhenConverged(0.5), "'invariance_loss'.*no invariance objective"),
        (HoldBack(WhenConverged(0.5), "loss"), "WhenConverged.*'invariance_loss'"),
    ],
)
def test_a_log_that_will_never_come_is_told_before_training(schedule, message):
    with pytest.raises(ValueError, match=message):
        sparsities(schedule, 1)


def batches():
    """A dataset that does not know its length."""

    def generate():
        yield from zip(X.reshape(STEPS, 2, 4), Y.reshape(STEPS, 2), strict=True)

    like = tf.TensorSpec((2, 4)), tf.TensorSpec((2,), tf.int64)
    return tf.data.Dataset.from_generator(generate, output_signature=like)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("eagerly", [True, False])
def test_shares_of_an_unknown_length_count_from_the_first_epoch_on(eagerly):
    seen = sparsities(OneShot(0.75), 4, data=batches(), eagerly=eagerly)
    assert seen == [0] * 8 + [0.75] * 8


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_what_was_due_before_the_length_was_known_is_made_up_for():
    seen = sparsities(OneShot(0.75, at=0.1), 3, data=batches())
    assert seen == [0] * 4 + [0.75] * 8


# By hand


def by_hand(sparsity, seed):
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    network = keras.Sequential([keras.Input((4,)), dense(8, name="hidden"), dense(2)])
    model = kip.prune(
        network,
        sparsity,
        objective="invariance",
        schedule="manual",
        rewind="first_epoch",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def kernel(model):
    return model.get_layer("hidden").kernel.numpy().copy()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_by_hand_fit_neither_prunes_nor_warns():
    assert sparsities(Manual(0.75), 2) == [0] * 8
    assert sparsities(Manual(0.75), 1, data=batches()) == [0] * 4


def test_one_search_by_hand_serves_several_sparsities(tmp_path):
    search, first = by_hand(0.5, seed=0), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: first.append(kernel(search.inner))
    )
    options = {"batch_size": 2, "verbose": 0}
    search.fit(X, Y, epochs=3, callbacks=[keep], **options)
    assert search.searching and not search.finished
    searched = kernel(search.inner)
    search.save_weights(tmp_path / "search.weights.h5")
    for sparsity, kept in ((0.25, 24), (0.75, 8)):
        model = by_hand(sparsity, seed=1)
        model.load_weights(tmp_path / "search.weights.h5")
        np.testing.assert_array_equal(kernel(model.inner), searched)
        model.prune_to(sparsity)
        assert model.finished and not model.searching and model.sparsity == sparsity
        largest = np.abs(searched) >= np.sort(np.abs(searched), axis=None)[-kept]
        # Back to what they were after the first epoch of the search.
        np.testing.assert_array_equal(kernel(model.inner), first[0] * largest)
        history = model.fit(X, Y, epochs=2, **options).history
        assert history["sparsity"] == [sparsity] * 2
        assert "invariance_loss" not in history
        tuned = kernel(model.inner)
        np.testing.assert_array_equal(tuned != 0, largest)
        assert np.all(tuned[largest] != first[0][largest])


# Arguments


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), 80])
@pytest.mark.parametrize("make", [OneShot, Gradual, WhenConverged, Manual])
def test_sparsity_is_a_share(make, sparsity):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        make(sparsity)


def test_percent_and_words_are_told():
    with pytest.raises(ValueError, match=r"Did you mean 0\.8\?"):
        OneShot(80)
    for sparsity in ("0.8", None, True):
        with pytest.raises(TypeError, match="must be a number"):
            OneShot(sparsity)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: OneShot(0.5, at=-1), ValueError, "Received: at=-1"),
        (lambda: OneShot(0.5, at=1.0), ValueError, "must be below 1"),
        (lambda: OneShot(0.5, at=True), ValueError, "Received: at=True"),
        (lambda: OneShot(0.5, at="half"), ValueError, "Received: at='half'"),
        (lambda: OneShot(0.5, at=float("nan")), ValueError, "Received: at=nan"),
        (lambda: Gradual(0.5, 0.6, 0.5), ValueError, "0.6 and 0.5"),
        (lambda: Gradual(0.5, 9, 9), ValueError, "9 and 9"),
        (lambda: Gradual(0.5, updates=0), ValueError, "at least 1"),
        (lambda: WhenConverged(0.5, patience=0), ValueError, "`patience`"),
        (lambda: WhenConverged(0.5, min_delta=-1), ValueError, "`min_delta`"),
        (lambda: WhenConverged(0.5, at_latest=2.0), ValueError, "`at_latest`"),
        (lambda: HoldBack(Gradual(0.5), mode="up"), ValueError, "'max' or 'min'"),
        (lambda: HoldBack(Gradual(0.5), tolerance=-1), ValueError, "`tolerance`"),
        (lambda: HoldBack("gradual"), TypeError, "Received: 'gradual'"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_get_takes_names_and_schedules_that_end_at_the_sparsity():
    assert isinstance(schedules.get("gradual", 0.5), Gradual)
    assert schedules.get("one_shot", 0.5).sparsity == 0.5
    for schedule in (
        OneShot(0.5),
        HoldBack(HoldBack(Gradual(0.5))),
        tfmot.ConstantSparsity(0.5, 0),
        tfmot.PolynomialDecay(0.1, 0.5, 0, 1),
        lambda step: (step == 3, 0.5),  # does not say where it ends
    ):
        assert schedules.get(schedule, 0.5) is schedule
    with pytest.raises(ValueError, match="sparsity=0.5, and a schedule .* ends at 0.7"):
        schedules.get(HoldBack(tfmot.PolynomialDecay(0.1, 0.7, 0, 1)), 0.5)
    with pytest.raises(ValueError, match="Did you mean 'gradual'"):
        schedules.get("gradually", 0.5)


def test_final_sparsity_leaves_a_method_of_that_name_alone():
    class Custom(OneShot):
        sparsity = None

        def __init__(self):
            pass

        def final_sparsity(self):
            return 0.5

    assert schedules.final_sparsity(Custom()) is None


# Saving


@pytest.mark.parametrize(
    "schedule",
    [
        OneShot(0.5, at=0.3),
        Manual(0.5),
        Gradual(0.5, 0.2, 30, updates=4),
        WhenConverged(0.5, "loss", 3, 0.1, 0.6),
        HoldBack(Gradual(0.5, 0.2, 0.3, 4), "loss", 0.2, "min"),
        HoldBack(tfmot.ConstantSparsity(0.5, 3)),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_come_back_from_their_config(schedule):
    again = type(schedule).from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    loaded = schedules.load_schedule(schedules.save_schedule(schedule))
    assert type(loaded) is type(schedule)
    assert loaded.get_config() == schedule.get_config()


@keras.saving.register_keras_serializable(package="test_schedules")
class OwnWay(OneShot):
    """Nests its config as TF-MOT does, and reads it back itself."""

    def get_config(self):
        return {"class_name": "OwnWay", "config": super().get_config()}

    @classmethod
    def from_config(cls, config):
        return cls(**config["config"])


@keras.saving.register_keras_serializable(package="test_schedules")
def at_three(step):
    return step == 3, 0.5


def test_users_schedules_are_saved_as_they_wish():
    loaded = schedules.load_schedule(schedules.save_schedule(OwnWay(0.5, at=3)))
    assert isinstance(loaded, OwnWay) and loaded.at == 3
    assert schedules.load_schedule(schedules.save_schedule(at_three)) is at_three
