"""Others that exchange, average or restore weights while pruning is under way."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.callbacks import AfterPruning
from keras_invprune.graph.weights import weights_by_key

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
LOSS = "sparse_categorical_crossentropy"
STEPS, EPOCHS = 4, 4  # pruned before step 9, the first of the third epoch
KEPT = 24  # of 48


def pruned(optimizer=None, **options):
    options = {"rewind": "initial", **options}
    network = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu", name="hidden", kernel_regularizer="l2"),
            keras.layers.Dense(2, "softmax", name="head"),
        ]
    )
    model = kip.prune(network, 0.5, **options)
    optimizer = keras.optimizers.Adam(0.05) if optimizer is None else optimizer
    model.compile(optimizer, LOSS, jit_compile=False)
    return model


def fit(model, *callbacks, epochs=EPOCHS, **options):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


def values(model):
    weights = weights_by_key(model.inner)
    return {key: weight.variable.numpy().copy() for key, weight in weights.items()}


class Record(keras.callbacks.Callback):
    """Keeps the weights before and after each step."""

    def __init__(self):
        super().__init__()
        self.before, self.after = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.before.append(values(self.model))

    def on_train_batch_end(self, batch, logs=None):
        self.after.append(values(self.model))


class OwnAverage(keras.callbacks.Callback):
    """Shows zeros between epochs, and takes its weights back when an epoch begins."""

    own = None

    def on_epoch_end(self, epoch, logs=None):
        self.own = [v.numpy() for v in self.model.trainable_variables]
        for variable in self.model.trainable_variables:
            variable.assign(0 * variable)

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(
            self.model.trainable_variables, self.own or (), strict=False
        ):
            variable.assign(value)

    def on_train_end(self, logs=None):
        self.on_epoch_begin(0)


def adam_with_average(frequency=None):
    return keras.optimizers.Adam(
        0.05, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=frequency
    )


def average(steps):
    """The moving average of the weights after each step, started by the first."""
    found = steps[0]
    for weights in steps[1:]:
        found = {key: 0.5 * found[key] + 0.5 * weights[key] for key in found}
    return found


def assert_pruned(model):
    kernel = kip.strip_pruning(model).get_layer("hidden").kernel.numpy()
    assert np.count_nonzero(kernel) == KEPT and model.sparsity == 0.5
    assert kip.strip_pruning(model).get_layer("head").kernel.numpy().all()
    hidden = values(model)["hidden/kernel"][model.masks["hidden/kernel"].numpy() == 0]
    assert not hidden.any()


SWAPS = {
    "of the optimizer alone": lambda: [],
    "in validation": lambda: [keras.callbacks.SwapEMAWeights()],
    "between epochs": lambda: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
    "between epochs of fine-tuning": lambda: [
        AfterPruning(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    ],
}


@pytest.mark.parametrize("name", SWAPS)
def test_averages_are_of_the_fine_tuning_alone(name):
    model, record = pruned(adam_with_average()), Record()
    fit(model, record, *SWAPS[name](), validation_data=(X, Y))
    mask = model.masks["hidden/kernel"].numpy()
    start = values_at_rewinding(record, mask)
    for key, value in record.before[8].items():
        np.testing.assert_array_equal(value, start[key])
    for key, value in average(record.after[8:]).items():
        np.testing.assert_allclose(values(model)[key], value, rtol=1e-4, atol=1e-6)
    assert_pruned(model)


def values_at_rewinding(record, mask):
    start = record.before[0]
    return {**start, "hidden/kernel": start["hidden/kernel"] * mask}


def test_a_callback_that_takes_its_weights_back_when_the_epoch_begins():
    model, record = pruned(), Record()
    fit(model, record, OwnAverage())
    mask = model.masks["hidden/kernel"].numpy()
    for key, value in values_at_rewinding(record, mask).items():
        np.testing.assert_array_equal(record.before[8][key], value)
    # By the weights that were trained, not by those shown in between.
    magnitudes = np.abs(record.after[7]["hidden/kernel"])
    assert magnitudes[mask == 1].min() > magnitudes[mask == 0].max()
    assert_pruned(model)


def test_an_average_written_over_the_weights_in_training():
    model, record = pruned(adam_with_average(2)), Record()
    fit(model, record)
    kernel = record.before[8]["hidden/kernel"]
    mask = model.masks["hidden/kernel"].numpy()
    np.testing.assert_array_equal(kernel, record.before[0]["hidden/kernel"] * mask)
    for weights in record.after[8:]:
        assert not weights["hidden/kernel"][mask == 0].any()
    assert_pruned(model)


@pytest.mark.parametrize("schedule", ["one_shot", "gradual"])
def test_averages_without_rewinding_bring_no_masked_weight_back(schedule):
    model = pruned(adam_with_average(3), rewind=None, schedule=schedule)
    fit(model)
    assert_pruned(model)


def test_gradients_accumulated_in_the_search_are_not_applied_after_rewinding():
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    model, record = pruned(sgd), Record()
    fit(model, record)  # two gradients of the search are waiting in step 9
    for step in (8, 9):
        for key, value in record.before[8].items():
            np.testing.assert_array_equal(record.after[step][key], value)
    assert not np.array_equal(
        record.after[10]["head/kernel"], record.before[8]["head/kernel"]
    )
    assert_pruned(model)


def test_weights_of_the_search_alone_do_not_go_with_averages():
    model = pruned(adam_with_average(), score="movement", schedule="gradual")
    with pytest.raises(ValueError, match="use_ema=True.*trained in the search only"):
        fit(model)
    assert model.step == 0


def test_restoring_the_best_weights_must_wait_for_fine_tuning():
    options = {"monitor": "loss", "mode": "max", "restore_best_weights": True}
    model = pruned()
    for first in (0, 1):  # epochs of the search both
        stopping = keras.callbacks.EarlyStopping(
            patience=9, start_from_epoch=first, **options
        )
        with pytest.raises(ValueError, match=r"AfterPruning\(EarlyStopping"):
            fit(model, stopping)
    assert model.step == 0
    record = Record()
    stopping = keras.callbacks.EarlyStopping(patience=1, **options)
    fit(model, record, AfterPruning(stopping))  # the loss falls: the first is the best
    for key, value in values(model).items():
        np.testing.assert_array_equal(value, record.after[11][key])
    assert_pruned(model)


class Restore(keras.callbacks.Callback):
    """Sets the weights of the first epoch again, in the last."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def on_epoch_end(self, epoch, logs=None):
        model = self.model.inner if self.inner else self.model
        if epoch == 0:
            self.weights = model.get_weights()
        if epoch == EPOCHS - 1:
            model.set_weights(self.weights)


def test_dense_weights_set_in_the_model_inside_stay_masked():
    model = pruned()
    fit(model, Restore(inner=True))
    assert_pruned(model)


def test_weights_and_masks_of_the_search_set_again_are_no_pruned_model():
    model = pruned()
    with pytest.warns(UserWarning, match="ended at sparsity 0"):
        fit(model, Restore(inner=False))
    assert (model.sparsity, model.finished, model.step) == (0.0, False, 16)
    with pytest.raises(ValueError, match="not finished"):
        kip.strip_pruning(model)
    fit(model)  # and it can be pruned again
    assert_pruned(model)


def test_the_phase_goes_along_with_the_weights():
    trained, other = pruned(objective="invariance"), pruned(objective="invariance")
    fit(trained)
    other.set_weights(trained.get_weights())
    assert other.finished and not other.searching and other.step == 16
    assert_pruned(other)


class Lookahead(keras.callbacks.Callback):
    """Averages all that `get_weights` gives."""

    def on_train_begin(self, logs=None):
        self.slow = self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        pairs = zip(self.slow, self.model.get_weights(), strict=True)
        self.slow = [slow + 0.3 * (fast - slow) for slow, fast in pairs]
        self.model.set_weights(self.slow)


def test_averaged_masks_are_refused():
    model = pruned()
    with pytest.raises(ValueError, match="must be 0 and 1.*trainable_variables"):
        fit(model, Lookahead())
    model = pruned()
    fit(model, AfterPruning(Lookahead()))
    assert_pruned(model)
    assert model.step == 16


def test_what_is_swapped_for_an_evaluation_comes_back():
    model = pruned(adam_with_average())
    fit(model)
    before = values(model)
    model.evaluate(X, Y, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
    for key, value in values(model).items():
        np.testing.assert_allclose(value, before[key], rtol=1e-6, atol=1e-7)
    fit(model, epochs=2)
    assert_pruned(model)


def test_the_logged_loss_counts_no_masked_weight():
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    model = pruned(sgd, rewind=None)  # momentum goes on moving what is masked
    record, history = Record(), {}
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: history.update({model.step: logs})
    )
    fit(model, record, look, batch_size=32, epochs=16)
    plain = kip.strip_pruning(model)
    mask = model.masks["hidden/kernel"].numpy()
    hidden = [w["hidden/kernel"][mask == 0] for w in record.after[8:]]
    assert any(part.any() for part in hidden)
    for weights, step in ((record.before[9], 10), (record.before[15], 16)):
        weights["hidden/kernel"] = weights["hidden/kernel"] * mask
        found = network_loss(plain, weights)
        assert history[step]["loss"] == pytest.approx(found, rel=1e-6)


def network_loss(plain, weights):
    """Cross-entropy and penalty in NumPy."""
    hidden = np.maximum(X @ weights["hidden/kernel"] + weights["hidden/bias"], 0)
    logits = hidden @ weights["head/kernel"] + weights["head/bias"]
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropy = -np.log(odds[np.arange(len(Y)), Y]).mean()
    return entropy + 0.01 * np.square(weights["hidden/kernel"]).sum()
