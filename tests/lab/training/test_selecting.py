"""Choosing the best epoch, snapshots, resuming after an interruption."""

import keras
import numpy as np
import pytest

from keras_invprune.saving import load_arrays
from keras_invprune_lab.training import selecting as training
from keras_invprune_lab.training.loop import restarts_of, train
from keras_invprune_lab.training.selecting import Selecting, logits
from trainings import DATA, EPOCHS, JOB, RESTARTS, X, Y, network


def selecting(folder, restarts=None, pause=0.0):
    folder.mkdir(exist_ok=True)
    restarts = restarts_of(RESTARTS, EPOCHS) if restarts is None else restarts
    return Selecting(folder, DATA.x_valid, DATA.y_valid, "accuracy", restarts, pause)


class Weights(keras.callbacks.Callback):
    """Remembers the weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.each = []

    def on_epoch_end(self, epoch, logs=None):
        self.each.append(self.model.get_weights())


def trained(folder, monkeypatch, **options):
    """A trained (model, Selecting), and the weights after each epoch."""
    model, chosen, seen = network(), selecting(folder, **options), Weights()
    fit = model.fit

    def watched(*args, callbacks, **kwargs):
        return fit(*args, callbacks=[seen, *callbacks], **kwargs)

    monkeypatch.setattr(model, "fit", watched)
    train(model, JOB, DATA, EPOCHS, 0, chosen, lambda *_: None)
    return model, chosen, seen.each


def test_the_best_epoch_is_the_first_with_the_highest_validation_figure(
    tmp_path, monkeypatch
):
    model, chosen, each = trained(tmp_path / "a", monkeypatch, restarts=())
    shares = []
    for weights in each:
        model.set_weights(weights)
        shares.append(np.mean(model.predict_on_batch(X[70:]).argmax(1) == Y[70:]))
    assert chosen.best == 1 + int(np.argmax(shares))
    found = [logs["val_accuracy"] for logs in chosen.history]
    np.testing.assert_allclose(found, shares)
    model.set_weights(each[chosen.best - 1])
    expected = model.predict_on_batch(DATA.x_test)
    np.testing.assert_allclose(chosen.outputs(DATA.x_test), expected, atol=1e-6)


def test_an_ensemble_is_the_mean_of_the_snapshots_and_the_current_logits(
    tmp_path, monkeypatch
):
    model, chosen, each = trained(tmp_path / "a", monkeypatch)
    assert restarts_of(RESTARTS, EPOCHS) == [1, 3]
    outputs = []
    for weights in each:
        model.set_weights(weights)
        outputs.append(model.predict_on_batch(X[70:]))
    for epoch, logs in enumerate(chosen.history, start=1):
        members = [e for e in (1, 3) if e < epoch] + [epoch]
        mean = np.mean([outputs[e - 1] for e in members], axis=0)
        assert logs["val_accuracy"] == pytest.approx(np.mean(mean.argmax(1) == Y[70:]))
    members = [e for e in (1, 3) if e < chosen.best] + [chosen.best]
    expected = np.mean([outputs[e - 1] for e in members], axis=0)
    np.testing.assert_allclose(chosen.outputs(X[70:]), expected, atol=1e-6)


def test_no_epoch_before_the_target_sparsity_is_chosen(tmp_path, monkeypatch):
    shares, model = [0.7, 0.9, 0.5, 0.6, 0.6], network()
    given = iter(shares)
    monkeypatch.setattr(training, "scores", lambda *_: {"accuracy": next(given)})
    best = {}
    for waits in (True, False):
        given = iter(shares)
        folder = tmp_path / str(waits)
        folder.mkdir()
        chosen = Selecting(folder, X, Y, "accuracy", pause=0.0, waits=waits)
        chosen.set_model(model)
        chosen.set_params({"epochs": len(shares)})
        for epoch in range(len(shares)):
            model.finished = epoch >= 2
            model.set_weights([np.full(w.shape, epoch) for w in model.get_weights()])
            chosen.on_epoch_end(epoch, {})
        best[waits] = chosen.best
        assert np.all(chosen.best_weights[0] == chosen.best - 1)
        kept = load_arrays(folder / f"best-{chosen.best}.npz")
        assert all(np.all(weights == chosen.best - 1) for weights in kept.values())
    assert best == {True: 4, False: 2}


@pytest.mark.parametrize("stop", [2, 4])
def test_interrupted_it_resumes_to_the_same_classifier(tmp_path, monkeypatch, stop):
    _, whole, _ = trained(tmp_path / "whole", monkeypatch)
    model, part = network(), selecting(tmp_path / "part")

    def interrupt(done, total):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, JOB, DATA, EPOCHS, 0, part, interrupt)
    model, again, seen = network(), selecting(tmp_path / "part"), []
    train(model, JOB, DATA, EPOCHS, 0, again, lambda *now: seen.append(now))
    assert seen[0] == (stop, EPOCHS)
    assert again.history == whole.history
    np.testing.assert_array_equal(again.outputs(X), whole.outputs(X))


def test_finished_it_does_not_train_again(tmp_path, monkeypatch):
    _, whole, _ = trained(tmp_path / "a", monkeypatch)
    model, again = network(), selecting(tmp_path / "a")
    train(model, JOB, DATA, EPOCHS, 0, again, lambda *_: None)
    np.testing.assert_array_equal(again.outputs(X), whole.outputs(X))


def test_logits_of_many_rows_are_those_of_few(monkeypatch):
    model = network()
    whole = logits(model, X)
    monkeypatch.setattr("keras_invprune_lab.training.selecting.CHUNK", 7)
    np.testing.assert_allclose(logits(model, X), whole, atol=1e-6)
