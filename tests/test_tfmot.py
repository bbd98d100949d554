"""On top of TF-MOT: its masks, its schedules, its wrappers, and none of its bugs.

The names B1 to B8 are TF-MOT 0.8.1's bugs; each docstring says what TF-MOT does.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_invprune as kip
from keras_invprune import tfmot
from keras_invprune.patterns import Block, NByM
from keras_invprune.saving import Missing
from keras_invprune.schedules import Gradual, OneShot, load_schedule, save_schedule

ConstantSparsity = tfmot.sparsity.ConstantSparsity
PolynomialDecay = tfmot.sparsity.PolynomialDecay

ROOT = Path(__file__).resolve().parent.parent
X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = np.arange(8) % 3
STEPS = 4  # per epoch


def run_python(*arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def network(units=(8, 7, 3)):
    dense = [keras.layers.Dense(n, name=f"dense_{i}") for i, n in enumerate(units)]
    return keras.Sequential([keras.Input((6,)), *dense])


def fit(model, *data, after_step=lambda model: round(model.sparsity, 4)):
    """Trains for 12 steps; returns what `after_step` returns after each."""
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(after_step(self.model))

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # A momentum, so that pruned weights would move if they could.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss, run_eagerly=True)
    batch_size = None if data else 2
    data = data or (X, Y)
    model.fit(
        *data,
        batch_size=batch_size,
        epochs=3,
        shuffle=False,
        callbacks=[Spy()],
        verbose=0,
    )
    return seen


def save_and_load(model, path):
    model.save(path)
    return keras.saving.load_model(path)


# The same masks


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    path = tmp_path_factory.mktemp("twins") / "masks.npz"
    run_python(ROOT / "tests/scripts/twin_masks.py", path)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "updates"),
    [
        ("every_step", list(range(1, 13))),
        ("with_end", [4, 6, 8]),
        ("cubic", [1, 2, 3, 4, 5, 6]),
        ("square", [1, 3, 5, 7, 9]),
        ("blocks", [3, 6, 9]),
    ],
)
def test_masks_are_tf_mots_bit_for_bit_at_each_update(twins, case, updates):
    ours = [name for name in twins if name.startswith(f"{case}/ours")]
    assert len(ours) >= 2
    for name in ours:
        masks, theirs = twins[name], twins[name.replace("ours", "theirs")]
        before = np.concatenate([np.ones_like(theirs[:1]), theirs[:-1]])
        changed = (theirs != before).reshape(len(theirs), -1).any(1)
        # New weights before each step, so that each update shows.
        assert list(1 + np.flatnonzero(changed)) == updates
        np.testing.assert_array_equal(masks, theirs, err_msg=name)


@pytest.mark.parametrize("power", [1, 2, 3, 3.5])
def test_ask_counts_as_tf_mots_graph_does(power):
    schedule = PolynomialDecay(0.1, 0.95, 7, 60, power, frequency=3)
    sizes = np.arange(1, 3000, dtype="float32")
    step = tf.Variable(0, dtype=tf.int64)

    @tf.function
    def count():
        step.assign_add(1)
        should_prune, sparsity = schedule(step)
        return should_prune, tf.maximum(tf.round(sizes * (1 - sparsity)), 1)

    should_prune, sparsity = tfmot.ask(schedule, np.arange(1, 65))
    for index in range(64):
        due, expected = count()
        assert should_prune[index] == due.numpy()
        found = np.maximum(np.rint(sizes * np.float32(1 - sparsity[index])), 1)
        np.testing.assert_array_equal(found, expected)


def test_ask_follows_a_schedule_that_is_changed():
    schedule = ConstantSparsity(0.5, 2, frequency=2)
    assert tfmot.ask(schedule, np.arange(1, 5))[0].tolist() == [False, True] * 2
    schedule.frequency = 1
    assert tfmot.ask(schedule, np.arange(1, 5))[0].tolist() == [False, True, True, True]


# Its schedules


class TwoStages(tfmot.PruningSchedule):
    """A user's schedule as TF-MOT wants it: for one step, as a tensor."""

    def __init__(self, first, second):
        self.first = first
        self.second = second

    def __call__(self, step):
        due = tf.logical_or(tf.equal(step, self.first), tf.equal(step, self.second))
        return due, tf.cond(
            tf.cast(step, tf.float32) < float(self.second),
            lambda: tf.constant(0.5),
            lambda: tf.constant(0.75),
        )

    def get_config(self):
        config = {"first": self.first, "second": self.second}
        return {"class_name": type(self).__name__, "config": config}


@keras.saving.register_keras_serializable(package="test_tfmot")
class RegisteredTwoStages(TwoStages):
    pass


@keras.saving.register_keras_serializable(package="test_tfmot")
class Milestones(tfmot.PruningSchedule):
    """Another, to which as many steps at once as milestones would be nonsense."""

    def __init__(self, *milestones):
        self.milestones = milestones

    def __call__(self, step):
        passed = tf.greater_equal(step, self.milestones)
        due = tf.reduce_any(tf.equal(step, self.milestones))
        return due, 0.25 * tf.reduce_sum(tf.cast(passed, tf.float32))

    def get_config(self):
        return {"milestones": self.milestones}

    @classmethod
    def from_config(cls, config):
        return cls(*config["milestones"])


SCHEDULES = {
    "constant": (ConstantSparsity(0.75, 4, frequency=100), [0] * 3 + [0.75] * 9),
    "constant_often": (ConstantSparsity(0.75, 2, -1, 1), [0] + [0.75] * 11),
    "polynomial": (
        PolynomialDecay(0.25, 0.75, 2, 10, power=1, frequency=4),
        [0] + [0.25] * 4 + [0.5] * 4 + [0.75] * 3,
    ),
    "two_stages": (RegisteredTwoStages(3, 6), [0] * 2 + [0.5] * 3 + [0.75] * 7),
    "milestones": (
        Milestones(2, 6, 11, 99),  # as many as an epoch has steps
        [0] + [0.25] * 4 + [0.5] * 5 + [0.75] * 2,
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_tf_mots_schedules_drive_fit_and_survive_saving(name, tmp_path):
    schedule, expected = SCHEDULES[name]
    # 104 weights, of which a quarter is 26.
    model = kip.prune(network(), 0.75, schedule=schedule)
    loaded = save_and_load(model, tmp_path / "model.keras")
    assert fit(loaded) == expected
    assert loaded.finished


def test_ours_are_tf_mots():
    for schedule in (OneShot(0.5), Gradual(0.5), kip.schedules.WhenConverged(0.5)):
        assert isinstance(schedule, tfmot.sparsity.PruningSchedule)
        assert isinstance(kip.schedules.HoldBack(schedule), tfmot.PruningSchedule)


# tf_keras models


def network_2():
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, activation="relu", name="one"),
            layers.Dense(7, name="two"),
            layers.Dense(3, name="head"),
        ]
    )


def masks_of(model):
    return {
        layer.layer.name: mask.numpy().astype(bool)
        for layer in model.layers
        for _, mask, _ in layer.pruning_vars
    }


def fit_2(model, epochs=2, **options):
    """Trains as TF-MOT's users do; returns the masks after each step."""
    seen = []

    class Spy(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(masks_of(self.model))

    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, **options)
    callbacks = [tfmot.sparsity.UpdatePruningStep(), Spy()]
    model.fit(X, Y, batch_size=2, epochs=epochs, callbacks=callbacks, verbose=0)
    return seen


def assert_same(masks, expected):
    assert masks.keys() == expected.keys()
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)


@pytest.mark.parametrize("allocation", ["global", "uniform"])
def test_masks_of_a_tf_keras_model_come_from_the_weights_given(allocation):
    model = network_2()
    wrapped = kip.prune(model, 0.8, allocation=allocation)
    one, two = (abs(model.get_layer(name).get_weights()[0]) for name in ("one", "two"))
    if allocation == "global":
        limits = [np.sort(np.concatenate([one, two], None))[-21]] * 2  # of 104
    else:
        limits = [np.sort(one, None)[-10], np.sort(two, None)[-11]]  # of 48, of 56
    expected = {"one": one >= limits[0], "two": two >= limits[1]}
    masks = masks_of(wrapped)
    assert masks.pop("head").all()
    assert_same(masks, expected)
    stripped = kip.strip_pruning(wrapped)
    for name, mask in masks.items():
        kernel = model.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(
            stripped.get_layer(name).get_weights()[0], kernel * mask
        )


def test_numbers_for_each_layer_of_a_tf_keras_model():
    numbers = {"one/kernel": 0.75, "two/kernel": 0.5}
    own = (0.75 * 48 + 0.5 * 56) / 104
    masks = masks_of(kip.prune(network_2(), own, allocation=numbers))
    assert (masks["one"].sum(), masks["two"].sum()) == (12, 28)
    with pytest.raises(ValueError, match="remove 0.6154"):
        kip.prune(network_2(), 0.5, allocation=numbers)
    with pytest.raises(ValueError, match="nothing to allocate"):
        pattern = kip.patterns.NByM(2, 4)
        kip.prune(network_2(), 0.5, allocation=numbers, pattern=pattern)


def test_what_a_pattern_does_not_fit_in_a_tf_keras_model_is_left_out(caplog):
    layers = tf_keras.layers
    first, second = (layers.Conv2D(4, 3, name=name) for name in ("first", "second"))
    ends = [layers.Flatten(), layers.Dense(2, name="head")]
    model = tf_keras.Sequential([layers.Input((7, 7, 3)), first, second, *ends])
    pattern = kip.patterns.NByM(2, 4)
    masks = masks_of(kip.prune(model, 0.5, pattern=pattern))
    assert masks["first"].all() and masks["second"].mean() == 0.5
    assert "first/kernel is left out: fewer than 4 along axis" in caplog.text
    with pytest.raises(ValueError, match="fits none of the weights"):
        kip.prune(model, 0.5, pattern=pattern, select=["first"])


def test_a_layer_of_a_tf_keras_model_that_loses_all_is_named(caplog):
    model = network_2()
    kernel, bias = model.get_layer("one").get_weights()
    model.get_layer("one").set_weights([1e-4 * kernel, bias])
    kip.prune(model, 0.8)
    assert "Layer collapse: nothing is left of one/kernel, so" in caplog.text


def test_filters_of_a_transposed_convolution_of_a_tf_keras_model():
    layers = tf_keras.layers
    up = layers.Conv2DTranspose(4, 3, name="up")  # kernel: height, width, out, in
    model = tf_keras.Sequential([layers.Input((5, 5, 6)), up, layers.Flatten()])
    mask = masks_of(kip.prune(model, 0.5, pattern="units", select=["up"]))["up"]
    assert mask.shape == (3, 3, 4, 6)
    filters = mask.transpose(2, 0, 1, 3).reshape(4, -1)
    assert filters.all(1).sum() == 2 and not filters[~filters.all(1)].any()


def test_masks_of_a_tf_keras_model_may_come_from_data():
    """|w| times the norm of the input that it multiplies (Wanda)."""
    model = network_2()

    def wanda(weights, model):
        inputs, norms = X, {}
        for layer in model.layers[:-1]:
            norms[f"{layer.name}/kernel"] = np.linalg.norm(inputs, axis=0)[:, None]
            inputs = layer(inputs).numpy()
        return {key: abs(weight) * norms[key] for key, weight in weights.items()}

    wrapped = kip.prune(model, 0.5, score=wanda, allocation="uniform")
    kernel = model.get_layer("one").get_weights()[0]
    scores = abs(kernel) * np.linalg.norm(X, axis=0)[:, None]
    expected = scores >= np.sort(scores, None)[kernel.size // 2]
    np.testing.assert_array_equal(masks_of(wrapped)["one"], expected)


def test_a_tf_keras_model_given_is_untouched():
    model = network_2()
    before = model.get_weights()
    fit_2(kip.prune(model, 0.8), epochs=1, run_eagerly=True)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [type(layer) for layer in model.layers] == [tf_keras.layers.Dense] * 3
    assert not hasattr(model.layers[0], "get_prunable_weights")


@pytest.mark.parametrize(("suffix", "eagerly"), [(".keras", False), (".h5", True)])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_masks_of_a_tf_keras_model_stay_through_training_and_saving(
    suffix, eagerly, tmp_path
):
    wrapped = kip.prune(network_2(), 0.8)
    masks = masks_of(wrapped)
    for seen in fit_2(wrapped, run_eagerly=eagerly):
        assert_same(seen, masks)

    wrapped.save(tmp_path / f"model{suffix}")
    with tfmot.sparsity.prune_scope():
        loaded = tf_keras.models.load_model(tmp_path / f"model{suffix}")
    assert_same(masks_of(loaded), masks)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), wrapped(X))
    for seen in fit_2(loaded, run_eagerly=eagerly):
        assert_same(seen, masks)

    stripped = kip.strip_pruning(loaded)
    assert [type(layer) for layer in stripped.layers] == [tf_keras.layers.Dense] * 3
    for name, mask in masks.items():
        kernel, bias = stripped.get_layer(name).get_weights()
        np.testing.assert_array_equal(kernel != 0, mask)
        assert bias.any()
    np.testing.assert_array_equal(stripped(X), loaded(X))


def test_strip_applies_the_masks_in_the_middle_of_an_epoch_too():
    wrapped = kip.prune(network_2(), 0.8)
    masks = masks_of(wrapped)
    wrapped.compile("sgd", "mse", run_eagerly=True)
    steps = tfmot.sparsity.UpdatePruningStep()
    steps.set_model(wrapped)
    steps.on_train_begin()
    wrapped.train_on_batch(X, X[:, :3])
    stripped = tfmot.strip(wrapped)
    for name, mask in masks.items():
        kernel, _ = stripped.get_layer(name).get_weights()
        np.testing.assert_array_equal(kernel != 0, mask)
    with pytest.raises(ValueError, match="no pruning wrappers of TF-MOT"):
        tfmot.strip(stripped)


def keys_of(model, select=None):
    found = {}

    def keep_all(weights):
        found.update({key: weight.shape for key, weight in weights.items()})
        return {key: np.ones_like(weight) for key, weight in weights.items()}

    tfmot.prune(model, keep_all, select)
    return found


def test_tf_keras_weights_have_keys_of_their_own():
    layers = tf_keras.layers
    inner = tf_keras.Sequential(
        [layers.Input((4, 6)), layers.Dense(6, name="d"), layers.Dense(6, name="e")],
        name="inner",
    )
    x = inputs = layers.Input((4, 6))
    x = layers.Rescaling(2.0)(x)  # TF-MOT's wrapper does not know this one
    x = layers.MultiHeadAttention(2, 3, name="mha")(inner(x), x)
    x = layers.LSTM(5, name="lstm")(tf.nn.relu(x))
    outputs = [layers.Dense(2, name=name)(x) for name in ("a", "b")]
    assert keys_of(tf_keras.Model(inputs, outputs)) == {
        "inner/d/kernel": (6, 6),
        "inner/e/kernel": (6, 6),
        "mha/query/kernel": (6, 2, 3),
        "mha/key/kernel": (6, 2, 3),
        "mha/value/kernel": (6, 2, 3),
        "mha/attention_output/kernel": (2, 3, 6),
        "lstm/lstm_cell/kernel": (6, 20),
        "lstm/lstm_cell/recurrent_kernel": (5, 20),
    }


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (["one"], ["one/kernel"]),
        (["one", "head/kernel"], ["one/kernel", "head/kernel"]),
        (lambda key, layer: layer.units > 3, ["one/kernel", "two/kernel"]),
    ],
)
def test_select_of_a_tf_keras_model(select, expected):
    assert list(keys_of(network_2(), select)) == expected


def test_what_cannot_be_pruned_in_tf_keras_says_so():
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Input((4, 6)), layers.Bidirectional(layers.LSTM(3)), layers.Dense(2)]
    )
    with pytest.warns(UserWarning, match=r"\(Bidirectional\): its weights stay dense"):
        assert len(keys_of(model, lambda key, layer: True)) == 1
    with pytest.raises(ValueError, match=r"'three'.*one/kernel"):
        kip.prune(network_2(), 0.8, select=["one", "three"])
    with pytest.raises(ValueError, match="nothing to prune"):
        kip.prune(network_2(), 0.8, select=lambda key, layer: False)
    with pytest.raises(ValueError, match="already has pruning wrappers"):
        kip.prune(kip.prune(network_2(), 0.8), 0.8)
    with pytest.raises(TypeError, match="must be Sequential or Functional"):
        kip.prune(tf_keras.layers.Dense(3), 0.8)


def test_prune_for_invariance_wants_keras_3():
    with pytest.raises(TypeError, match="for Keras 3 models, and this is a tf_keras"):
        kip.prune_for_invariance(network_2())


# Importing it

IMPORT = """
import os, subprocess, sys
import {first}
import tensorflow, keras  # which set variables of their own
before = dict(os.environ)
import keras_invprune as kip
kip.prune, kip.schedules.OneShot
assert dict(os.environ) == before
import tensorflow_model_optimization
assert dict(os.environ) == before
show = 'import os; print(os.environ.get("TF_USE_LEGACY_KERAS"))'
child = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
print(tensorflow.keras.layers.Dense.__module__.split(".")[0], child.stdout)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "environment", "expected"),
    [
        ("os", {}, ["keras", "None"]),
        pytest.param(
            "os",
            {"TF_USE_LEGACY_KERAS": "1"},
            ["tf_keras", "1"],
            marks=pytest.mark.heavy,  # the next sets the same variable
        ),
        # TF-MOT itself has set it by then.
        ("tensorflow_model_optimization", {}, ["tf_keras", "1"]),
    ],
)
def test_importing_changes_no_environment_and_warns_of_nothing(
    first, environment, expected
):
    # Only TF-MOT imported by the user may warn, of distutils.
    options = ["-W", "error"] + ["-W", "ignore::DeprecationWarning"] * (first != "os")
    printed = run_python(*options, "-c", IMPORT.format(first=first), **environment)
    assert printed.split() == expected


# What TF-MOT 0.8.1 gets wrong

NEVER = "does not reach the target sparsity 0.5 in the steps 1 to 12 of this training"
ENDED = "Training ended at sparsity 0, before the target"


def test_b1_n_by_m_survives_saving(tmp_path):
    """TF-MOT's wrapper forgets `sparsity_m_by_n` in get_config: None once loaded."""
    model = kip.prune(network(), 0.5, pattern=NByM(2, 4), schedule=OneShot(0.5, at=2))
    loaded = save_and_load(model, tmp_path / "model.keras")
    assert loaded.plan.pattern == NByM(2, 4)
    fit(loaded)
    for mask in loaded.masks.values():
        groups = mask.numpy()[:4]  # kernels of 6 and 8 inputs
        assert (groups.sum(axis=0) == 2).all()


def test_b2_a_schedule_that_is_gone_is_named_when_it_is_used(tmp_path):
    """TF-MOT loads a schedule it does not know as the string of its name."""

    class Vanishing(TwoStages):  # cannot be found from outside this function
        pass

    model = kip.prune(network(), 0.75, schedule=Vanishing(3, 6))
    loaded = save_and_load(model, tmp_path / "model.keras")
    assert isinstance(loaded.plan.schedule, Missing)
    np.testing.assert_allclose(loaded(X), model(X))
    with pytest.raises(RuntimeError, match=r"plan\.schedule=.*Vanishing.*Register it"):
        fit(loaded)
    loaded.plan.schedule = Vanishing(3, 6)  # as the message says
    assert fit(loaded)[-1] == 0.75


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSparsity(0.5, 3, 9, 2),
        PolynomialDecay(0.25, 0.75, 2, 10, power=1, frequency=4),
        RegisteredTwoStages(3, 6),
        OneShot(0.5, at=4),
        Gradual(0.5, begin=2, end=9, updates=3),
        kip.schedules.WhenConverged(0.5, "loss", 3, 0.1, at_latest=8),
        kip.schedules.HoldBack(PolynomialDecay(0.25, 0.75, 2, 10, 1), "val_loss"),
        kip.schedules.HoldBack(Gradual(0.5, begin=2, end=9), "loss", 0.1, "min"),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_b3_configs_can_be_read_back(schedule):
    """TF-MOT's configs are nested, and its own `from_config` raises on them."""
    again = load_schedule(save_schedule(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    if type(schedule).__module__.startswith("keras_invprune"):
        again = type(schedule).from_config(schedule.get_config())
        assert again.get_config() == schedule.get_config()
    for step in (1, 2, 3, 5, 9, 10):
        due, sparsity = again(step)
        expected_due, expected_sparsity = schedule(step)
        assert bool(due) == bool(expected_due)
        assert float(sparsity) == float(expected_sparsity)


def test_b4_a_shared_layer_does_not_hurry_the_schedule():
    """TF-MOT counts calls: a layer that is called twice prunes at half the time."""
    shared = keras.layers.Dense(6, name="shared")
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(3)(shared(shared(inputs)))
    model = kip.prune(
        keras.Model(inputs, outputs), 0.75, schedule=ConstantSparsity(0.75, 7)
    )
    assert list(model.masks) == ["shared/kernel"]
    assert fit(model) == [0.0] * 6 + [0.75] * 6
    assert model.step == 12


def test_b5_weights_are_sparse_after_each_step():
    """TF-MOT masks the weights at the end of epochs only: dense in between."""
    dense = keras.layers.Dense(8, use_bias=False)
    model = kip.prune(
        keras.Sequential([keras.Input((6,)), dense]),
        0.75,
        schedule=PolynomialDecay(0.25, 0.75, 2, 10, power=1, frequency=4),
        select=lambda key, layer: True,
    )
    # The rows of the kernel as the model applies it.
    kernels = fit(model, after_step=lambda model: model(np.eye(6)).numpy())
    zeros = [np.mean(kernel == 0) for kernel in kernels]
    assert zeros == [0] + [0.25] * 4 + [0.5] * 4 + [0.75] * 3
    assert not np.array_equal(kernels[-1], kernels[-2])


@pytest.mark.parametrize(
    ("units", "block", "kept"),
    [((1, 3), (4, 1), 1), ((4, 3), (1, 4), 3), ((8, 3), (6, 8), 1)],
)
def test_b6_blocks_may_fill_an_axis(units, block, kept):
    """TF-MOT squeezes a pooled axis of one away and then wants rank 2."""
    model = kip.prune(
        network(units), 0.5, pattern=Block(block), schedule=OneShot(0.5, at=1)
    )
    fit(model)
    mask = model.masks["dense_0/kernel"].numpy()
    starts = mask[:: block[0], :: block[1]]
    np.testing.assert_array_equal(mask, np.kron(starts, np.ones(block))[:6, : units[0]])
    assert starts.sum() == kept


def test_b7_a_schedule_that_comes_too_late_warns_before_training():
    """TF-MOT's frequency of 100 prunes nothing in a short training, silently."""
    model = kip.prune(network(), 0.5, schedule=ConstantSparsity(0.5, 0))
    with pytest.warns(UserWarning, match=NEVER), pytest.warns(UserWarning, match=ENDED):
        assert fit(model) == [0.0] * 12
    again = kip.prune(network(), 0.5, schedule=ConstantSparsity(0.5, 0))
    with pytest.raises(UserWarning, match=NEVER):  # an error in this test suite
        fit(again)
    assert again.step == 0


def test_b7_without_a_known_length_it_warns_after_the_first_epoch():
    """As above, for a generator, whose number of steps shows when it has ended."""

    def batches():
        yield from zip(X.reshape(STEPS, 2, 6), Y.reshape(STEPS, 2), strict=True)

    like = tf.TensorSpec((2, 6)), tf.TensorSpec((2,), tf.int64)
    data = tf.data.Dataset.from_generator(batches, output_signature=like)
    model = kip.prune(network(), 0.5, schedule=ConstantSparsity(0.5, 0))
    with warnings.catch_warnings():
        # Keras's own, each time that a dataset of unknown length is over.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        with pytest.raises(UserWarning, match=NEVER):
            fit(model, data)
    assert model.step == STEPS


def test_b8_n_by_m_follows_the_schedule():
    """TF-MOT makes the masks of n:m patterns in its first step, whatever is asked."""
    schedule = PolynomialDecay(0.25, 0.5, 3, 7, frequency=4)
    model = kip.prune(
        network((8, 4, 3)),
        0.5,
        pattern=NByM(2, 4),
        schedule=schedule,
        select=["dense_1"],
    )

    def kept(model):
        groups = model.masks["dense_1/kernel"].numpy().reshape(2, 4, 4)
        (number,) = set(groups.sum(axis=1).ravel())
        return number

    assert fit(model, after_step=kept) == [4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2]
