"""A phase: optimizers, steps, compilation."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.schedules import Gradual, Rewire
from keras_invprune_lab.recipes.recipe import Optimizer
from keras_invprune_lab.training import loop as training
from keras_invprune_lab.training.beta_lasso import with_penalty
from keras_invprune_lab.training.checkpoint import Checkpoint
from keras_invprune_lab.training.loop import (
    compile_model,
    make_optimizer,
    restarts_of,
    steps_of,
    train,
)
from trainings import DATA, JOB, RECIPE, RESTARTS, G, X, network


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
    train(model, JOB, data, 2, 0, Checkpoint(tmp_path), lambda *_: None)
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


def test_without_momentum_a_step_is_the_gradient_alone():
    plain = make_optimizer(Optimizer(rate=0.5, momentum=0), 10, 6)
    variable = keras.Variable([1.0])
    for _ in range(2):
        plain.apply([keras.ops.ones(1)], [variable])
    assert variable.numpy() == 0.0


def test_an_epoch_has_whole_batches_and_not_too_many():
    assert steps_of(RECIPE, DATA) == 3  # of 16 in 50 rows
    assert steps_of(RECIPE.model_copy(update={"epoch_steps": 2}), DATA) == 2
    assert steps_of(RECIPE.model_copy(update={"batch_size": 128}), DATA) == 1


@pytest.mark.parametrize("epochs", [1, training.LONG])
def test_a_long_training_is_compiled_by_xla(epochs):
    model = network()
    compile_model(model, RECIPE, RESTARTS, DATA, epochs)
    assert model.jit_compile == (epochs > 1)
    compile_model(model, RECIPE, RESTARTS, DATA, epochs, xla=False)
    assert not model.jit_compile
