"""A step is traced once in each phase, and trains as if it had been traced twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.pruning import tracing
from keras_invprune.pruning.model import PrunedModel

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
Y = np.arange(24) % 3


@pytest.fixture
def traced(monkeypatch):
    """The names of the steps of pruned models, at each trace."""
    names = []
    for name in ("train_step", "test_step"):
        step = getattr(PrunedModel, name)

        def counted(self, data, step=step, name=name):
            names.append(name)
            return step(self, data)

        monkeypatch.setattr(PrunedModel, name, counted)
    return names


def pruned(schedule, strategy=None):
    keras.utils.set_random_seed(0)
    keras.backend.clear_session(free_memory=False)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
        network = keras.Sequential([keras.Input((6,)), *layers])
        model = kip.prune(network, 0.5, schedule=schedule)
        model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    return model


def fit(model):
    return model.fit(X, Y, batch_size=8, epochs=2, validation_data=(X, Y), verbose=0)


@pytest.mark.parametrize(
    ("schedule", "phases"), [("manual", 1), (kip.schedules.OneShot(0.5, at=2), 2)]
)
def test_each_phase_is_traced_once(traced, schedule, phases):
    model = pruned(schedule)
    fit(model)
    assert sorted(traced) == ["test_step"] + ["train_step"] * phases
    model.evaluate(X, Y, batch_size=8, verbose=0)
    assert len(traced) == phases + 1


def test_nothing_else_changes(monkeypatch):
    one = pruned(kip.schedules.OneShot(0.5, at=2))
    history = fit(one).history
    monkeypatch.setattr(tracing, "_outside", lambda _, create, **given: create(**given))
    other = pruned(kip.schedules.OneShot(0.5, at=2))
    assert fit(other).history == history
    pairs = [(one.variables, other.variables)]
    pairs += [(one.optimizer.variables, other.optimizer.variables)]
    for found, expected in pairs:
        assert [v.path for v in found] == [v.path for v in expected]
        for variable, same in zip(found, expected, strict=True):
            np.testing.assert_array_equal(variable.numpy(), same.numpy())


def test_variables_of_replicas_are_mirrored(strategy):
    model = pruned("manual", strategy)
    fit(model)
    own = [variable.value for variable in model.optimizer.variables]
    assert all(isinstance(value, tf.distribute.DistributedValues) for value in own)


@pytest.mark.parametrize(
    "initial", [lambda x: 2.0 * x, lambda x: lambda: 2.0 * x, lambda x: lambda: x + x]
)
def test_a_value_of_the_graph_makes_a_variable_in_it(initial):
    made = []

    @tf.function
    def doubled(x):
        with tracing.variables_made_outside(keras.Model()):
            if not made:
                made.append(tf.Variable(initial(x)))
        return made[0] * x

    assert doubled(tf.constant(3.0)) == 18


def test_a_variable_of_each_call_stays_one():
    @tf.function
    def one():
        options = {"experimental_enable_variable_lifting": False}
        with tracing.variables_made_outside(keras.Model()):
            return tf.Variable(lambda: 0.0, **options).assign_add(1.0)

    assert [one(), one()] == [1, 1]


def forgetful(y, outputs):
    """A metric that Keras refuses: it is made again with each batch."""
    mean = keras.metrics.Mean()
    mean.update_state(outputs[:, 0] - keras.ops.cast(y, outputs.dtype))
    return mean.result()


def test_a_metric_that_is_made_in_each_call_is_refused():
    model = pruned("manual")
    model.compile("adam", LOSS, metrics=[forgetful])
    with pytest.raises(ValueError, match=r"tf.function only supports singleton"):
        fit(model)


def test_a_metric_that_makes_variables_late_is_kept(traced):
    model = pruned("manual")
    model.compile("adam", keras.losses.MeanSquaredError(), metrics=["r2_score"])
    model.fit(X, np.eye(3, dtype="float32")[Y], batch_size=8, verbose=0)
    assert traced == ["train_step"]
