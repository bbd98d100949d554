"""Methods that learn what to prune while the network is trained, step by step."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.patterns import NByM
from keras_invprune.schedules import Gradual, OneShot, Rewire
from keras_invprune.scores import SRSTE, GumbelSoftmax, Movement

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
W = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
RATE = 0.1


def linear(score, sparsity=0.5, schedule="manual", **choices):
    """One matrix, no bias: the gradient is easily written."""
    layer = keras.layers.Dense(3, use_bias=False, name="only")
    network = keras.Sequential([keras.Input((4,)), layer])
    network.set_weights([W])
    choices = {"select": ["only"], "score": score, "schedule": schedule} | choices
    model = kip.prune(network, sparsity, **choices)
    model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=False)
    return model


def once(score, at):
    """A schedule with one update, such as the score takes."""
    if score == "sr_ste" or isinstance(score, SRSTE):
        return Gradual(0.5, begin=type(at)(0), end=at, updates=1)
    return OneShot(0.5, at=at)


def gradient_at(effective):
    """∂ mean (X w' - Y)² / ∂ w'."""
    return 2 * X.T @ (X @ effective - Y) / Y.size


def step(model, times=1):
    model.fit(X, Y, batch_size=8, epochs=times, shuffle=False, verbose=0)


def stored(model):
    return model.inner.get_weights()[0]


def mask_of(model):
    return model.masks["only/kernel"].numpy()


def learned(model):
    return model.masked.own["only/kernel"][0].numpy()


def test_movement_is_the_sum_of_weight_times_gradient():
    model = linear(Movement(), 0.75)
    weight, scores, mask = W.copy(), np.zeros_like(W), np.ones_like(W)
    for sparsity in (0.0, 0.5, 0.6):
        if sparsity:
            model.prune_to(sparsity)
            kept = round(W.size * (1 - sparsity))
            mask = (scores >= np.sort(scores, axis=None)[-kept]).astype("float32")
            np.testing.assert_array_equal(mask_of(model), mask)
        step(model, 2)
        for _ in range(2):
            slope = gradient_at(weight * mask)
            scores = scores - RATE * slope * weight
            weight = weight - RATE * slope * mask
        np.testing.assert_allclose(learned(model), scores, 1e-4, 1e-6)
        np.testing.assert_allclose(stored(model), weight, 1e-4, 1e-6)
    assert (weight[mask == 0] != 0).all()  # remembered


def test_what_movement_masked_may_come_back():
    model = linear(Movement(), 0.75)
    step(model)
    model.prune_to(0.5)
    before = mask_of(model)
    ((scores, *_),) = model.masked.own.values()
    scores.assign(1 - before)
    model.prune_to(0.5)
    np.testing.assert_array_equal(mask_of(model), 1 - before)
    # At the target nothing does.
    model.prune_to(0.75)
    assert not stored(model)[mask_of(model) == 0].any()
    scores_then = learned(model)
    step(model)
    np.testing.assert_array_equal(learned(model), scores_then)
    assert not stored(model)[mask_of(model) == 0].any()


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_sr_ste_trains_masked_weights_and_draws_them_to_zero(decay):
    schedule = Rewire(0.5, every=1, until=100)
    model = linear(SRSTE(decay), schedule=schedule, pattern=NByM(2, 4))
    weight = W.copy()
    for _ in range(4):
        order = np.argsort(-np.abs(weight), axis=0, kind="stable")
        mask = np.zeros_like(W)
        np.put_along_axis(mask, order[:2], 1.0, axis=0)  # the inputs are one group
        step(model)
        np.testing.assert_array_equal(mask_of(model), mask)
        hidden = decay * (1 - mask) * weight
        weight = weight - RATE * (gradient_at(weight * mask) + hidden)
        np.testing.assert_allclose(stored(model), weight, 1e-4, 1e-6)
    np.testing.assert_allclose(model(X), X @ (weight * mask), 1e-4, 1e-5)
    stripped = kip.strip_pruning(model)
    np.testing.assert_allclose(stripped(X), model(X), 1e-6, 1e-6)
    # Stripping is looking, not taking.
    np.testing.assert_allclose(stored(model), weight, 1e-4, 1e-6)


def test_the_share_of_draws_that_are_on_is_the_probability():
    score = GumbelSoftmax(rate=10.0, temperatures=(1.0, 1e-3), seed=0)
    model = linear(score)
    ((odds, temperature, noise),) = model.masked.own.values()
    odds.assign(np.linspace(-0.2, 0.2, 12).reshape(4, 3))  # times the rate of 10
    model.anneal(1.0)
    assert temperature.numpy() == pytest.approx(1e-3)
    draws = [
        score.effective(tf.ones((4, 3)), 1.0, odds.value, temperature.value, noise)
        for _ in range(500)
    ]
    draws = np.array(draws)
    assert ((draws < 0.01) | (draws > 0.99)).mean() > 0.99  # on or off
    expected = 1 / (1 + np.exp(-10 * odds.numpy()))
    np.testing.assert_allclose(draws.mean(0), expected, atol=0.07)  # 3 deviations


def test_the_penalty_of_gumbel_is_the_expected_number_that_is_on():
    model = linear(GumbelSoftmax(penalty=0.01, odds=1.0, seed=0))
    model(X, training=True)
    (penalty,) = model.losses
    assert float(penalty) == pytest.approx(0.01 * 12 / (1 + np.exp(-1.0)), rel=1e-5)
    model(X, training=False)
    assert model.losses == []


def test_gumbel_turns_off_what_the_loss_does_not_need():
    """Two of four inputs tell the target; with noise the others only harm."""
    x = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
    needed = np.float32([[1, -1, 0.5], [0.5, 1, -1]])
    y = x[:, :2] @ needed
    score = GumbelSoftmax(penalty=1e-3, seed=0)
    model = linear(score, schedule=OneShot(0.5, at=0.5))
    # Of the right signs: weight and odds together do not come through zero.
    ((kernel,),) = [layer.weights for layer in model.inner.layers]
    kernel.assign(np.concatenate([0.5 * np.sign(needed), W[2:]]))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, y, batch_size=64, epochs=20, verbose=0)
    np.testing.assert_array_equal(mask_of(model), [[1] * 3] * 2 + [[0] * 3] * 2)


def test_the_temperature_falls_until_the_masks_are_made():
    seen = []
    score = GumbelSoftmax(temperatures=(1.0, 0.01), seed=0)
    model = linear(score, schedule=OneShot(0.5, at=0.5))
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.masked.shared[0].numpy())
    )
    model.fit(X, Y, batch_size=2, epochs=8, callbacks=[look], verbose=0)
    steps = np.array([3, 7, 11, 15])  # made before the last of each epoch
    np.testing.assert_allclose(seen[:4], 0.01 ** (steps / 16), rtol=1e-5)
    assert len(set(seen[4:])) == 1


@pytest.mark.parametrize("score", [Movement(), GumbelSoftmax(seed=1), SRSTE()])
def test_an_interrupted_training_goes_on_unchanged(score, tmp_path):
    def made():
        return linear(score, schedule=once(score, 12))

    def fit(model, first=0, pause=None):
        def stop(epoch, logs):
            if epoch + 1 == pause:
                raise KeyboardInterrupt

        options = {"batch_size": 2, "shuffle": False, "verbose": 0}
        callback = keras.callbacks.LambdaCallback(on_epoch_end=stop)
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(
                X, Y, epochs=5, initial_epoch=first, callbacks=[callback], **options
            )

    through = made()
    fit(through)
    for pause in (2, 4):  # in the search, and after it
        begun, resumed = made(), made()
        fit(begun, pause=pause)
        begun.save_weights(tmp_path / "state.weights.h5")
        resumed.load_weights(tmp_path / "state.weights.h5")
        assert resumed.masked.settled == (pause == 4)
        fit(resumed, first=pause)
        np.testing.assert_array_equal(mask_of(resumed), mask_of(through))
        np.testing.assert_allclose(stored(resumed), stored(through), 1e-6)


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("movement", "invariance"),
        ("gumbel", "invariance"),
        ("sr_ste", "invariance"),
        ("sr_ste", None),
    ],
)
def test_under_an_objective_replicas_and_float16(name, objective, strategy):
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    y = np.arange(16) % 3
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
    with strategy.scope():
        network = keras.Sequential([keras.Input((6,)), *layers])
        for layer in layers:
            layer.dtype_policy = "mixed_float16"
        choices = {"objective": objective, "schedule": once(name, 0.5)}
        model = kip.prune(network, 0.5, score=name, **choices)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)
    history = model.fit(x, y, batch_size=8, epochs=4, verbose=0).history
    assert history["sparsity"] == [0.0, 0.0, 0.5, 0.5]
    assert np.isfinite(history["loss"]).all()
    weight = model.inner.layers[0].kernel.numpy()
    (mask,) = model.masks.values()
    assert not weight[mask.numpy() == 0].any()


@pytest.mark.parametrize("name", ["movement", "gumbel", "sr_ste"])
def test_xla_and_a_saved_model(name, tmp_path):
    model = linear(name, schedule=once(name, 2))
    model.compile("adam", "mse", jit_compile=True)
    step(model, 4)
    assert model.finished
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.plan.score) is type(model.plan.score)
    np.testing.assert_array_equal(loaded(X), model(X))
    step(loaded)
    np.testing.assert_array_equal(mask_of(loaded), mask_of(model))


@pytest.mark.parametrize("score", [Movement(), GumbelSoftmax(seed=3), SRSTE(0.1)])
def test_configs(score):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(score)
    )
    assert again.get_config() == score.get_config()
    effective = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(score.effective)
    )
    assert effective.get_config() == score.effective.get_config()


@pytest.mark.parametrize("score", [Movement(), GumbelSoftmax(seed=0)])
def test_compiled_again_the_optimizer_is_saved_all_the_same(score, tmp_path):
    model = linear(score, schedule=OneShot(0.5, at=1))
    step(model, 2)
    model.compile(keras.optimizers.SGD(RATE, 0.9), "mse")
    step(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # warnings are errors
    assert int(loaded.optimizer.iterations) == 3
    for one, other in zip(
        loaded.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_model_whose_score_is_gone_still_predicts(tmp_path):
    class Own(Movement):
        """Not registered."""

    model = linear(Own(), schedule=OneShot(0.5, at=1))
    step(model, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    np.testing.assert_array_equal(kip.strip_pruning(loaded)(X), model(X))


def test_keys_that_are_no_names_of_tensorflow_s():
    layers = {"first block": keras.layers.Dense(4), "b's": keras.layers.Dense(3)}

    class Blocks(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = layers

        def call(self, inputs):
            for layer in self.blocks.values():
                inputs = layer(inputs)
            return inputs

    network = Blocks()
    network(X)
    choices = {"schedule": OneShot(0.5, at=1), "copy": False}
    select = ["blocks_first block/kernel"]
    for score in (Movement(), GumbelSoftmax(seed=0)):
        model = kip.prune(network, 0.5, score=score, select=select, **choices)
        model.compile(keras.optimizers.SGD(RATE, 0.9), "mse")
        model.fit(X, Y, batch_size=4, verbose=0)
        assert model.sparsity == 0.5


def test_a_loop_of_ones_own_sees_the_phases():
    model = linear(GumbelSoftmax(seed=0))
    phases = [model.phase]
    step(model)
    model.prune_to(0.5)
    phases.append(model.phase)
    assert phases == [(False, False), (False, True)]
    assert (
        np.ptp([model(X, training=True).numpy() for _ in range(3)], axis=0).max() == 0
    )


@pytest.mark.parametrize(
    "score, schedule, message",
    [
        ("sr_ste", "one_shot", "several updates of the masks.*Rewire"),
        ("sr_ste", "at_init", "several updates.*OneShot"),
        ("gumbel", "gradual", "one update of the masks.*'one_shot'"),
    ],
)
def test_schedules_under_which_nothing_is_learned(score, schedule, message):
    with pytest.raises(ValueError, match=message):
        linear(score, schedule=schedule)


@pytest.mark.parametrize("score", [Movement(), GumbelSoftmax()])
def test_nothing_is_learned_before_the_first_step(score):
    with pytest.raises(ValueError, match="prunes before the first step"):
        linear(score, schedule="at_init")
    with pytest.raises(ValueError, match="no step made so far.*at=0.5"):
        linear(score, schedule="manual").prune_to(0.5)
    with pytest.raises(ValueError, match=r"kip.prune\(model, sparsity, score="):
        score({}, linear("magnitude"))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SRSTE(-1), "decay=-1"),
        (lambda: GumbelSoftmax(penalty=-1), "penalty=-1"),
        (lambda: GumbelSoftmax(rate=0), "rate=0"),
        (lambda: GumbelSoftmax(temperatures=(0.1, 1.0)), "do not rise.*0.1, 1.0"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
