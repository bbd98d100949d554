"""Trainings that are interrupted and go on."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune_lab.training.resuming import (
    CONFIG,
    Progress,
    batches,
    check_same,
    write_history,
)

X = np.arange(10, dtype="float32")[:, None]
Y = np.arange(10)


def rows(first, last, **options):
    return [y.numpy().tolist() for _, y in batches(X, Y, 4, 7, first, last, **options)]


def test_each_epoch_has_all_rows_in_an_order_of_its_own():
    found = rows(0, 3)
    assert [len(batch) for batch in found] == [4, 4, 2] * 3
    epochs = [sum(found[i : i + 3], []) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_epoch_is_the_same_wherever_one_begins():
    assert rows(1, 3) == rows(0, 3)[3:]


def test_inputs_and_labels_stay_together():
    for x, y in batches(X, Y, 4, 0, 0, 2):
        np.testing.assert_array_equal(x[:, 0], y)


def test_an_epoch_of_so_many_steps_is_the_beginning_of_the_whole():
    whole = rows(0, 3)
    assert rows(0, 3, steps=2) == [whole[i] for i in (0, 1, 3, 4, 6, 7)]
    assert rows(1, 3, steps=1) == [whole[3], whole[6]]
    assert rows(0, 1, steps=9) == whole[:3]


def keys(seed, first, last, **options):
    """The keys that the batches are augmented by; their labels."""

    def show(inputs, key):
        return tf.repeat(key[None], len(inputs), axis=0)

    found = batches(X, Y, 4, seed, first, last, augment=show, **options)
    found = [(x.numpy(), y.numpy().tolist()) for x, y in found]
    assert all(np.all(x == x[0]) for x, _ in found)
    return [tuple(x[0].tolist()) for x, _ in found], [y for _, y in found]


def test_each_batch_is_augmented_by_a_key_of_its_own():
    found, labels = keys(7, 0, 3)
    assert len(set(found)) == 9 and {seed for seed, _ in found} == {7}
    assert labels == rows(0, 3)
    assert not set(found) & set(keys(8, 0, 3)[0])
    # The same wherever a training begins, and whether or not it is cut short.
    assert keys(7, 1, 3)[0] == found[3:]
    assert keys(7, 0, 3, steps=2)[0] == [found[i] for i in (0, 1, 3, 4, 6, 7)]


def model():
    keras.utils.set_random_seed(3)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile("adam", "mse", jit_compile=False)
    return network


def train(network, progress, first, epochs=4):
    options = {"steps_per_epoch": 3, "shuffle": False, "verbose": 0}
    data = batches(X, Y.astype("float32"), 4, 7, first, epochs)
    network.fit(
        data, initial_epoch=first, epochs=epochs, callbacks=[progress], **options
    )


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    whole, part, again = model(), model(), model()
    (tmp_path / "whole").mkdir()
    train(whole, Progress(tmp_path / "whole"), 0)
    train(part, Progress(tmp_path), 0, epochs=2)
    progress = Progress(tmp_path)
    first = progress.restore(again)
    assert first == 2
    train(again, progress, first)
    assert len(progress.history) == 4
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [file.name for file in tmp_path.glob("*.h5")] == ["4.weights.h5"]


@pytest.fixture
def timed(monkeypatch):
    """A `Progress` under which an epoch takes ten seconds and may be interrupted."""
    clock = types.SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("keras_invprune_lab.training.resuming.time", clock)

    class Timed(Progress):
        def __init__(self, folder, pause, interrupt=None):
            super().__init__(folder, pause)
            self.interrupt, self.saved = interrupt, []

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.interrupt:
                raise KeyboardInterrupt
            clock.now += 10.0

        def save(self, epochs):
            super().save(epochs)
            self.saved.append(epochs)

    return Timed


def test_between_saves_is_a_pause_and_the_last_epoch_is_saved(tmp_path, timed):
    whole, part, again = model(), model(), model()
    (tmp_path / "whole").mkdir()
    expected = timed(tmp_path / "whole", 25)
    train(whole, expected, 0, epochs=7)
    assert expected.saved == [3, 6, 7]
    # Interrupted in a pause, it goes on from the last save.
    with pytest.raises(KeyboardInterrupt):
        train(part, timed(tmp_path, 25, interrupt=5), 0, epochs=7)
    progress = timed(tmp_path, 25)
    assert progress.restore(again) == 3
    assert progress.history == expected.history[:3]
    train(again, progress, 3, epochs=7)
    assert progress.saved == [6, 7] and progress.history == expected.history
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("fails_at", ["save_weights", "replace"])
def test_a_save_that_fails_leaves_the_last_one(tmp_path, monkeypatch, fails_at):
    network, progress = model(), Progress(tmp_path)
    train(network, progress, 0, epochs=1)
    expected = [weight.numpy() for weight in network.weights]

    def fail(*_, **__):
        raise KeyboardInterrupt

    if fails_at == "save_weights":
        monkeypatch.setattr(network, "save_weights", fail)
    else:
        monkeypatch.setattr("keras_invprune_lab.training.resuming.write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        train(network, progress, 1)
    monkeypatch.undo()
    again = model()
    (tmp_path / "new.weights.h5").write_bytes(b"cut short")
    progress = Progress(tmp_path)
    assert progress.restore(again) == 1
    for weight, value in zip(again.weights, expected, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    train(again, progress, 1)
    assert [file.name for file in tmp_path.glob("*.h5")] == ["4.weights.h5"]


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    config = {"seed": 0, "method": "omp"}
    check_same(config, tmp_path)  # nothing is there yet
    (tmp_path / CONFIG).write_text(json.dumps(config))
    check_same(config, tmp_path)
    with pytest.raises(FileExistsError, match="seed: 0 there, 1 asked"):
        check_same({**config, "seed": 1}, tmp_path)


def test_history_has_a_column_for_each_log(tmp_path):
    history = [{"loss": 1.0, "invariance_loss": 2.0}, {"loss": 0.5}]
    write_history(history, tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss,invariance_loss", "1,1.0,2.0", "2,0.5,"]
