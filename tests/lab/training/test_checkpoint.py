"""Trainings that are interrupted and resume."""

import types

import keras
import numpy as np
import pytest

from keras_invprune_lab.training.checkpoint import Checkpoint
from keras_invprune_lab.training.order import batches

X = np.arange(10, dtype="float32")[:, None]
Y = np.arange(10)


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
    train(whole, Checkpoint(tmp_path / "whole"), 0)
    train(part, Checkpoint(tmp_path), 0, epochs=2)
    progress = Checkpoint(tmp_path)
    first = progress.restore(again)
    assert first == 2
    train(again, progress, first)
    assert len(progress.history) == 4
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [file.name for file in tmp_path.glob("*.h5")] == ["4.weights.h5"]


@pytest.fixture
def timed(monkeypatch):
    """A `Checkpoint` under which an epoch takes ten seconds and may be interrupted."""
    clock = types.SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("keras_invprune_lab.training.checkpoint.time", clock)

    class Timed(Checkpoint):
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
    network, progress = model(), Checkpoint(tmp_path)
    train(network, progress, 0, epochs=1)
    expected = [weight.numpy() for weight in network.weights]

    def fail(*_, **__):
        raise KeyboardInterrupt

    if fails_at == "save_weights":
        monkeypatch.setattr(network, "save_weights", fail)
    else:
        monkeypatch.setattr("keras_invprune_lab.training.checkpoint.write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        train(network, progress, 1)
    monkeypatch.undo()
    again = model()
    (tmp_path / "new.weights.h5").write_bytes(b"cut short")
    progress = Checkpoint(tmp_path)
    assert progress.restore(again) == 1
    for weight, value in zip(again.weights, expected, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    train(again, progress, 1)
    assert [file.name for file in tmp_path.glob("*.h5")] == ["4.weights.h5"]
