"""When pruning happens, and what other callbacks see of it."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.callbacks import AfterPruning, PruningCallback, due_steps

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pruned(schedule="one_shot", **options):
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(2)]
    )
    model = kip.prune(network, 0.5, schedule=schedule, **options)
    # Sixteen steps take half the time of tracing a step of each phase.
    model.compile("sgd", LOSS, metrics=["accuracy"], run_eagerly=True)
    return model


def fit(model, epochs=4, **options):
    options = {"batch_size": 8, "verbose": 0, **options}
    return model.fit(X, Y, epochs=epochs, **options)


class Spy(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train_begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}")

    def on_train_end(self, logs=None):
        self.calls.append("train_end")


def test_half_of_the_epochs_search_by_default():
    model = pruned()
    model.compile("adam", LOSS, metrics=["accuracy"], jit_compile=False)
    history = fit(model).history["sparsity"]
    assert history == [0.0, 0.0, 0.5, 0.5]


@pytest.mark.parametrize("at, expected", [(0.25, 1), (0.75, 3), (4, 1), (9, 2)])
def test_the_split_is_adjustable_in_shares_and_steps(at, expected):
    history = fit(pruned(kip.schedules.OneShot(0.5, at=at))).history["sparsity"]
    assert history.index(0.5) == expected


# Keras says so of every data set whose length it does not know.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_unknown_number_of_steps_works_by_epochs():
    def rows():
        yield from zip(X, Y, strict=True)

    signature = (tf.TensorSpec((4,)), tf.TensorSpec((), tf.int64))
    data = tf.data.Dataset.from_generator(rows, output_signature=signature).batch(8)
    history = pruned().fit(data, epochs=4, verbose=0, shuffle=False).history["sparsity"]
    assert history == [0.0, 0.0, 0.5, 0.5]


def test_steps_per_execution_prunes_at_the_next_host_visit():
    model = pruned(kip.schedules.OneShot(0.5, at=5))
    model.compile("adam", LOSS, steps_per_execution=4, jit_compile=False)
    assert fit(model).history["sparsity"] == [0.0, 0.0, 0.5, 0.5]


def test_a_second_fit_goes_on_with_fine_tuning():
    model = pruned(rewind="initial", objective="invariance")
    fit(model)
    masks = {key: mask.numpy().copy() for key, mask in model.masks.items()}
    history = fit(model, epochs=2).history
    assert history["sparsity"] == [0.5, 0.5] and "invariance_loss" not in history
    for key, mask in model.masks.items():
        np.testing.assert_array_equal(mask.numpy(), masks[key])


def test_a_second_fit_does_not_bring_weights_back():
    model = pruned("gradual")
    fit(model, epochs=10)
    masks = {key: mask.numpy().copy() for key, mask in model.masks.items()}
    assert set(fit(model, epochs=10).history["sparsity"]) == {0.5}
    for key, mask in model.masks.items():
        np.testing.assert_array_equal(mask.numpy(), masks[key])


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("at, epochs", [(0.5, 2), (0.25, 4), (0.1, 3)])
def test_what_is_due_in_an_epoch_of_unknown_length_is_made_up_for(at, epochs):
    def rows():
        yield from zip(X, Y, strict=True)

    signature = (tf.TensorSpec((4,)), tf.TensorSpec((), tf.int64))
    data = tf.data.Dataset.from_generator(rows, output_signature=signature).batch(8)
    model = pruned(kip.schedules.OneShot(0.5, at=at))
    history = model.fit(data, epochs=epochs, verbose=0, shuffle=False).history
    assert history["sparsity"] == [0.0] + [0.5] * (epochs - 1)


def test_a_callback_given_is_not_added_again_and_comes_first():
    class Order(Spy):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                self.calls.append(self.model.sparsity)

    spy = Order()
    fit(pruned(), callbacks=[spy, PruningCallback()])
    assert spy.calls[1:-1][1::3] == [0.0, 0.0, 0.5, 0.5]


def test_after_pruning_starts_the_other_callback_then():
    spy = Spy()
    fit(pruned(), callbacks=[AfterPruning(spy)])
    expected = ["train_begin", "begin 0", "end 0", "begin 1", "end 1", "train_end"]
    assert spy.calls == expected


def test_after_pruning_in_the_middle_of_an_epoch():
    spy = Spy()
    fit(pruned(kip.schedules.OneShot(0.5, at=6)), callbacks=[AfterPruning(spy)])
    assert spy.calls[:3] == ["train_begin", "begin 0", "end 0"]
    assert spy.calls.count("train_begin") == 1 and spy.calls[-2] == "end 2"


def test_after_pruning_never_begins_without_pruning():
    spy = Spy()
    with pytest.warns(UserWarning, match="does not reach|before the target"):
        fit(pruned(kip.schedules.OneShot(0.5, at=999)), callbacks=[AfterPruning(spy)])
    assert spy.calls == []


def test_early_stopping_stops_fine_tuning_only():
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    history = fit(pruned(), epochs=20, callbacks=[AfterPruning(stop)]).history
    assert len(history["loss"]) == 12  # 10 of search, and one without progress


def test_checkpoint_holds_a_pruned_model(tmp_path):
    file = tmp_path / "best.keras"
    save = keras.callbacks.ModelCheckpoint(file, "loss", save_best_only=True)
    fit(pruned(), callbacks=[AfterPruning(save)])
    loaded = keras.saving.load_model(file)
    assert loaded.finished and loaded.sparsity == 0.5


def test_learning_rate_scheduler_starts_again_or_is_refused():
    seen = []

    def rate(epoch, lr):
        seen.append(epoch)
        return lr

    scheduler = keras.callbacks.LearningRateScheduler(rate)
    with pytest.raises(ValueError, match="AfterPruning"):
        fit(pruned(rewind="initial"), callbacks=[scheduler])
    assert seen == []
    fit(pruned(rewind="initial"), callbacks=[AfterPruning(scheduler)])
    assert seen == [0, 1]
    seen.clear()
    fit(pruned(rewind=None), callbacks=[scheduler])  # nothing starts again
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda _: keras.callbacks.EarlyStopping("loss", patience=9),
        lambda path: keras.callbacks.ModelCheckpoint(
            path / "m.keras", "loss", save_best_only=True
        ),
    ],
)
def test_an_ungated_callback_is_pointed_out(make, tmp_path):
    with pytest.warns(UserWarning, match="AfterPruning"):
        fit(pruned(), callbacks=[make(tmp_path)])


def test_training_that_ends_too_soon_warns_and_strip_refuses():
    model = pruned(kip.schedules.OneShot(0.5, at=100))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model)
    texts = [str(w.message) for w in caught if w.category is UserWarning]
    assert "does not reach the target sparsity 0.5 in the steps 1 to 16" in texts[0]
    assert "ended at sparsity 0, before the target 0.5" in texts[1]
    with pytest.raises(ValueError, match="allow_unfinished"):
        kip.strip_pruning(model)
    assert kip.strip_pruning(model, allow_unfinished=True).count_params() > 0


def test_due_steps_of_a_schedule_written_for_single_steps():
    def schedule(step):
        return (True, 0.1 * float(step)) if step in (2, 4) else (False, 0.0)

    assert due_steps(schedule, 1, 5) == pytest.approx({2: 0.2, 4: 0.4})


def test_wrong_callback_to_gate():
    with pytest.raises(TypeError, match="keras.callbacks.Callback"):
        AfterPruning("early_stopping")


def test_momentum_brings_back_nothing_that_is_pruned():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    body = [keras.layers.Dense(24, "relu", name="body"), keras.layers.Dense(2)]
    network = keras.Sequential([keras.Input((8,)), *body])
    model = kip.prune(network, 0.5, schedule=lambda step: (step % 4 == 0, 0.5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, jit_compile=False)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            model.masks["body/kernel"].numpy()
        )
    )
    model.fit(x, np.arange(256) % 2, batch_size=8, verbose=0, callbacks=[look])
    assert seen[0].all() and seen[-1].mean() == 0.5
    pruned = [mask for mask in seen if not mask.all()]
    for mask in pruned:
        np.testing.assert_array_equal(mask, pruned[0])
