"""Trainings that are interrupted and go on."""

import json

import keras
import numpy as np
import pytest

from keras_invprune.experiments.resuming import (
    CONFIG,
    Progress,
    batches,
    check_same,
    write_history,
)

X = np.arange(10, dtype="float32")[:, None]
Y = np.arange(10)


def rows(first, last):
    return [y.numpy().tolist() for _, y in batches(X, Y, 4, 7, first, last)]


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
        monkeypatch.setattr("keras_invprune.experiments.resuming.write_json", fail)
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
