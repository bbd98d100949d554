"""Choosing the best epoch, snapshots, going on after an interruption."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.schedules import Gradual, Rewire
from keras_invprune_lab.data import Data
from keras_invprune_lab.recipes.recipe import Optimizer, Recipe
from keras_invprune_lab.runs.jobs import Job
from keras_invprune_lab.training import loop as training
from keras_invprune_lab.training.beta_lasso import with_penalty
from keras_invprune_lab.training.loop import (
    Selecting,
    compile_model,
    logits,
    make_optimizer,
    restarts_of,
    steps_of,
    train,
)

G = np.random.default_rng(0)
X = G.normal(size=(90, 4)).astype("float32")
Y = (X[:, 0] + 0.5 * G.normal(size=90) > 0).astype("int64")
DATA = Data(X[:50], Y[:50], X[50:70], Y[50:70], (), X[70:], Y[70:])
EPOCHS = 6
RESTARTS = Optimizer(rate=0.3, schedule="restarts", period=1)
RECIPE = Recipe(
    title="",
    datasets=["sklearn:digits"],
    methods=["dense"],
    model="mlp",
    search_epochs=1,
    finetune_epochs=5,
    batch_size=16,
    optimizer=RESTARTS,
    kappas=[1],
)
JOB = Job(RECIPE, "-", "dense", 3)


def network():
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    compile_model(model, RECIPE, RESTARTS, DATA, EPOCHS)
    return model


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
    train(model, JOB, DATA, EPOCHS, chosen, lambda *_: None)
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
        assert np.all(
            training._load(folder / f"best-{chosen.best}.npz")[0] == chosen.best - 1
        )
    assert best == {True: 4, False: 2}


@pytest.mark.parametrize("stop", [2, 4])
def test_interrupted_it_goes_on_to_the_same_classifier(tmp_path, monkeypatch, stop):
    _, whole, _ = trained(tmp_path / "whole", monkeypatch)
    model, part = network(), selecting(tmp_path / "part")

    def interrupt(done, total):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, JOB, DATA, EPOCHS, part, interrupt)
    model, again, seen = network(), selecting(tmp_path / "part"), []
    train(model, JOB, DATA, EPOCHS, again, lambda *now: seen.append(now))
    assert seen[0] == (stop, EPOCHS)
    assert again.history == whole.history
    np.testing.assert_array_equal(again.outputs(X), whole.outputs(X))


def test_finished_it_does_not_train_again(tmp_path, monkeypatch):
    _, whole, _ = trained(tmp_path / "a", monkeypatch)
    model, again = network(), selecting(tmp_path / "a")
    train(model, JOB, DATA, EPOCHS, again, lambda *_: None)
    np.testing.assert_array_equal(again.outputs(X), whole.outputs(X))


@pytest.mark.parametrize(
    ("schedule", "at_once"),
    [
        (Rewire(0.5, every=1), 1),
        (Rewire(0.5, every=30), 6),
        (Gradual(0.5), 1),
        ("manual", 12),
    ],
)
def test_no_renewal_of_masks_is_late(schedule, at_once):
    score = "set" if isinstance(schedule, Rewire) else "magnitude"
    model = kip.prune(network(), 0.5, score=score, schedule=schedule)
    data = DATA._replace(x_train=np.repeat(X[:48], 4, axis=0))  # 12 steps
    compile_model(model, RECIPE, RECIPE.optimizer, data, 2)
    assert model.steps_per_execution == at_once


def test_long_trainings_are_compiled_by_xla_but_for_noise(monkeypatch):
    monkeypatch.setattr(training, "LONG", 4)

    def compiled(epochs, **choices):
        model = kip.prune(network(), 0.5, schedule="manual", **choices)
        compile_model(model, RECIPE, RECIPE.optimizer, DATA, epochs)
        return model.jit_compile

    assert compiled(4) is True
    assert compiled(4, score="gumbel") == compiled(0)


def test_an_epoch_makes_exactly_its_steps(tmp_path):
    rows = G.normal(size=(107 * 16, 4)).astype("float32")
    data = DATA._replace(x_train=rows, y_train=np.arange(len(rows)) % 2)
    model = network()
    compile_model(model, RECIPE, RECIPE.optimizer, data, 2)  # 107 is a prime
    train(model, JOB, data, 2, selecting(tmp_path / "a"), lambda *_: None)
    assert int(model.optimizer.iterations.numpy()) == 2 * 107


def test_a_constant_cosine_and_restarting_rate():
    constant, cosine, restarts = (
        make_optimizer(Optimizer(rate=0.5, schedule=name, period=2), 10, 6)
        for name in ("constant", "cosine", "restarts")
    )
    assert float(constant.learning_rate) == 0.5
    schedule = cosine._learning_rate
    assert float(schedule(0)) == pytest.approx(0.5) and float(schedule(60)) == 0.0
    schedule = restarts._learning_rate
    for step in (0, 20, 60):  # after 2 and 2 + 4 epochs
        assert float(schedule(step)) == pytest.approx(0.5)
    assert float(schedule(19)) < 0.01 and float(schedule(59)) < 0.01


@pytest.mark.parametrize(
    "changed", [lambda same: same, partial(with_penalty, penalty=1e-9)]
)
@pytest.mark.parametrize(("decayed", "left"), [("all", 0.5), ("kernels", 1.0)])
def test_what_weight_decay_shrinks(decayed, left, changed):
    layers = [keras.layers.Dense(2, name="d"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model = kip.prune(model, 0.5, select="d", schedule="manual")
    recipe = RECIPE.model_copy(update={"decayed": decayed})
    decay = Optimizer(rate=0.5, weight_decay=1.0)
    compile_model(model, recipe, decay, DATA, 1, changed)
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(keras.ops.ones_like(weight))
    model.optimizer.build(weights)
    model.optimizer.apply([keras.ops.zeros_like(weight) for weight in weights])
    assert {weight.name for weight in weights} == {"kernel", "bias", "gamma", "beta"}
    for weight in weights:
        wanted = 0.5 if weight.name == "kernel" else left
        np.testing.assert_allclose(weight.numpy(), wanted, rtol=1e-6)


def test_the_paper_s_restarts():
    paper = Optimizer(name="adamw", schedule="restarts", period=15)
    assert restarts_of(paper, 106) == [15, 45, 105]
    assert restarts_of(paper, 105) == [15, 45]
    assert restarts_of(Optimizer(), 106) == []


def test_the_paper_s_optimizers():
    sgd = make_optimizer(Optimizer(), 10, 6).get_config()
    assert (sgd["momentum"], sgd["nesterov"], sgd["weight_decay"]) == (0.9, True, None)
    adamw = Optimizer(name="adamw", weight_decay=0.01)
    assert make_optimizer(adamw, 10, 6).get_config()["weight_decay"] == 0.01


def test_an_epoch_has_whole_batches_and_not_too_many():
    assert steps_of(RECIPE, DATA) == 3  # of 16 in 50 rows
    assert steps_of(RECIPE.model_copy(update={"epoch_steps": 2}), DATA) == 2
    assert steps_of(RECIPE.model_copy(update={"batch_size": 128}), DATA) == 1


def test_logits_of_many_rows_are_those_of_few(monkeypatch):
    model = network()
    whole = logits(model, X)
    monkeypatch.setattr("keras_invprune_lab.training.loop.CHUNK", 7)
    np.testing.assert_allclose(logits(model, X), whole, atol=1e-6)


@pytest.mark.parametrize("epochs", [1, training.LONG])
def test_a_long_training_is_compiled_by_xla(epochs):
    model = network()
    compile_model(model, RECIPE, RESTARTS, DATA, epochs)
    assert model.jit_compile == (epochs > 1)
