"""Rewinding: what goes back, what stays, and the optimizer as if freshly built."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.pruning.rewind import check_optimizer, reset_optimizer

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dense(2, name="logits"),
        ]
    )


class Recorder(keras.callbacks.Callback):
    """Keeps all weights as they are before each step, pruning included."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        inner = self.model.inner
        weights = weights_by_key(inner)
        values = {k: w.variable.numpy().copy() for k, w in weights.items()}
        iterations = int(self.model.optimizer.iterations.numpy())
        self.seen.append((values, self.model.sparsity, iterations))


def train(rewind, initial_scale=1.0, epochs=4, optimizer="adam", **options):
    model = kip.prune(
        network(), 0.5, rewind=rewind, initial_scale=initial_scale, **options
    )
    model.compile(optimizer, LOSS, jit_compile=False)
    recorder = Recorder()
    model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    return model, recorder.seen


@pytest.mark.parametrize(
    "rewind, scale, source, factor",
    [
        ("initial", 1.0, 0, 1.0),
        ("initial", 0.5, 0, 1.0),
        ("unscaled", 0.5, 0, 2.0),
        ("first_epoch", 0.5, 4, 1.0),
    ],
)
def test_survivors_head_and_statistics_go_back(rewind, scale, source, factor):
    model, seen = train(rewind, scale)
    before, at = seen[source][0], seen[8]
    mask = model.masks["hidden/kernel"].numpy()
    assert at[1] == 0.5 and mask.mean() == 0.5
    np.testing.assert_allclose(
        at[0]["hidden/kernel"], factor * before["hidden/kernel"] * mask, rtol=1e-6
    )
    others = ["logits/kernel", "hidden/bias", "norm/gamma", "norm/moving_mean"]
    for key in others:
        np.testing.assert_array_equal(at[0][key], before[key])
        assert not np.array_equal(seen[7][0][key], before[key]), f"{key} had moved"


def test_the_optimizer_starts_again_and_the_clock_does_not():
    model, seen = train("initial")
    assert [iterations for *_, iterations in seen[6:10]] == [6, 7, 0, 1]
    assert model.step == 16


def test_without_rewinding_weights_and_optimizer_go_on():
    model, seen = train(None)
    mask = model.masks["hidden/kernel"].numpy()
    moved = seen[8][0]["hidden/kernel"]
    assert seen[8][2] == 8
    assert np.abs(moved - seen[0][0]["hidden/kernel"] * mask).max() > 1e-4


def test_initial_scale_multiplies_kernels_or_everything():
    original = network()
    for scale, keys in ((0.25, {"hidden/kernel"}), ((0.25, "all"), None)):
        model = kip.prune(original, 0.5, initial_scale=scale)
        pairs = zip(original.weights, model.inner.weights, strict=True)
        for old, new in pairs:
            key = f"{old.path.split('/')[-2]}/{old.name}"
            scaled = old.trainable if keys is None else key in keys
            factor = 0.25 if scaled else 1.0
            np.testing.assert_allclose(new.numpy(), factor * old.numpy())


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.1),
    "nadam": lambda: keras.optimizers.Nadam(0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1),
    "ema": lambda: keras.optimizers.Adam(0.1, use_ema=True),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.1, 5)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reset_gives_freshly_built_values(name):
    variables = [keras.Variable(np.ones((3, 2), "float32"))]
    used, fresh = OPTIMIZERS[name](), OPTIMIZERS[name]()
    fresh.build(variables)
    expected = [v.numpy() for v in fresh.variables]
    used.build(variables)
    for _ in range(3):
        used.apply([np.ones((3, 2), "float32")])
    assert any(
        not np.array_equal(v.numpy(), e)
        for v, e in zip(used.variables, expected, strict=True)
    )
    reset_optimizer(used, variables)
    for variable, value in zip(used.variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_reset_keeps_the_loss_scale_and_returns_to_the_first_rate():
    variables = [keras.Variable(np.ones((2,), "float32"))]
    inner = keras.optimizers.Adam(0.1)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    optimizer.build(variables)
    optimizer.dynamic_scale.assign(64.0)
    inner.learning_rate = 0.001
    reset_optimizer(optimizer, variables, rate=0.1)
    assert float(optimizer.dynamic_scale.numpy()) == 64.0
    assert float(inner.learning_rate.numpy()) == pytest.approx(0.1)


def test_a_built_optimizer_belongs_to_the_weights_that_are_trained():
    variables = [keras.Variable(np.ones(n, "float32")) for n in ((2, 3), (3,))]
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(variables)
    assert check_optimizer(optimizer, variables) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="built for other weights"):
        check_optimizer(optimizer, variables[:1])


def test_a_lowered_learning_rate_comes_back():
    class Lower(keras.callbacks.Callback):
        rates = []

        def on_epoch_end(self, epoch, logs=None):
            self.rates.append(float(self.model.optimizer.learning_rate.numpy()))
            if epoch == 0:
                self.model.optimizer.learning_rate = 1e-5

    model = kip.prune(network(), 0.5, rewind="initial")
    model.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=False)
    model.fit(X, Y, batch_size=8, epochs=4, verbose=0, callbacks=[Lower()])
    assert Lower.rates == pytest.approx([0.1, 1e-5, 0.1, 0.1])


def test_unknown_point_is_refused():
    with pytest.raises(ValueError, match="first_epoch.*rewind='start'"):
        kip.prune(network(), 0.5, rewind="start")
