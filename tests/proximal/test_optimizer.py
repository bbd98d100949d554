"""The proximal step after an optimizer's step: when, how far, and where it survives."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.proximal import NegativeParts, Proximal, SlopesToOne
from keras_invprune.pruning.rewind import check_optimizer, reset_optimizer

G = np.random.default_rng(0)
X = G.normal(size=(64, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] > 0).astype("float32")


def network(**options):
    return keras.Sequential(
        [
            keras.Input((6,)),
            *(keras.layers.Dense(8, "relu", name=name) for name in ("a", "b", "c")),
            keras.layers.Dense(1, name="out"),
        ],
        name="net",
        **options,
    )


def proximal(inner="sgd", **strengths):
    return Proximal(inner, NegativeParts(strengths or {"b": 0.3}))


def stepped(weights, threshold):
    """The exact proximal step of a group, in float64."""
    negative = [np.maximum(-np.asarray(w, "float64"), 0) for w in weights]
    norm = np.sqrt(sum(np.square(part).sum() for part in negative))
    share = max(0.0, 1 - threshold / norm) if norm else 0.0
    return [
        np.maximum(w, 0) - share * part
        for w, part in zip(weights, negative, strict=True)
    ]


class Expected(keras.callbacks.Callback):
    """Predicts each step from a twin that is trained by the inner optimizer alone."""

    def __init__(self, twin, rates, strength):
        super().__init__()
        self.twin, self.rates, self.strength, self.seen = twin, rates, strength, 0

    def on_train_batch_end(self, batch, logs=None):
        rows = slice(16 * batch, 16 * batch + 16)
        self.twin.train_on_batch(X[rows], Y[rows])
        layer = self.twin.get_layer("b")
        threshold = self.rates[self.seen] * self.strength
        layer.set_weights(stepped(layer.get_weights(), threshold))
        self.seen += 1
        for one, other in zip(self.model.weights, self.twin.weights, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_each_step_is_the_optimizers_then_the_exact_proximal_one(kind):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01])
    make = getattr(keras.optimizers, kind)
    model, twin = network(), network()
    twin.set_weights(model.get_weights())
    model.compile(proximal(make(schedule), b=0.8), "mse")
    twin.compile(make(schedule), "mse")
    rates = [float(schedule(step)) for step in range(4)]
    assert rates[1] == pytest.approx(0.1) and rates[2] == pytest.approx(0.01)
    expected = Expected(twin, rates, 0.8)
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[expected])
    assert expected.seen == 4


def test_negative_parts_become_exactly_zero_in_fit():
    model = network()
    model.compile(proximal(keras.optimizers.Adam(0.01), b=20.0), "mse")
    model.fit(X, Y, epochs=20, batch_size=16, verbose=0)
    assert all((v.numpy() >= 0).all() for v in model.get_layer("b").weights)
    assert (model.get_layer("a").kernel.numpy() < 0).any()
    assert model.evaluate(X, Y, verbose=0) < np.var(Y)


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 4}])
def test_compilation_and_several_steps_at_once_change_nothing(options):
    found = []
    for compiled in ({"jit_compile": False}, options):
        keras.utils.set_random_seed(1)
        model = network()
        model.compile(proximal(b=2.0), "mse", **compiled)
        model.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(one == 0, other == 0)


def test_mixed_precision_wraps_it_and_skips_what_overflows():
    model = network()
    model.dtype_policy = "mixed_float16"
    model.compile(proximal(b=4.0), "mse", jit_compile=False)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_layer("b").get_weights()
    model.fit(X * 1e30, Y, batch_size=64, verbose=0)  # infinite gradients: no step
    for one, other in zip(before, model.get_layer("b").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.fit(X, Y, epochs=20, batch_size=16, verbose=0)
    assert (model.get_layer("b").kernel.numpy() >= 0).all()


def test_replicas_stay_alike(strategy):
    keras.utils.set_random_seed(2)
    alone = network()
    alone.compile(proximal(b=60.0), "mse", jit_compile=False)
    with strategy.scope():
        model = network()
        model.compile(proximal(b=60.0), "mse", jit_compile=False)
    model.set_weights(alone.get_weights())
    for each in (alone, model):
        each.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    for one, other in zip(alone.weights, model.weights, strict=True):
        copies = strategy.experimental_local_results(other.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_allclose(one.numpy(), copy.numpy(), rtol=1e-3, atol=1e-5)
    assert (alone.get_layer("b").kernel.numpy() == 0).any()


def test_accumulated_gradients_move_nothing_until_their_step():
    sgd = keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    variable = keras.Variable([[-1.0, 2.0]], name="kernel")
    optimizer = Proximal(sgd, NegativeParts({"": 1.0}))
    found = []
    for _ in range(4):
        optimizer.apply([keras.ops.zeros((1, 2))], [variable])
        found.append(float(variable.numpy()[0, 0]))
    assert found == [-1.0, -0.5, -0.5, 0.0]


def test_two_operators_wrap_twice():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, name="a"),
            keras.layers.PReLU(name="slope"),
            keras.layers.Dense(4, "relu", name="b"),
        ]
    )
    both = Proximal(proximal(b=1e6), SlopesToOne({"slope": 1e6}))
    model.compile(both, "mse")
    model.fit(X, np.zeros((64, 4)), epochs=1, verbose=0)
    assert (model.get_layer("b").kernel.numpy() >= 0).all()
    assert (model.get_layer("slope").alpha.numpy() == 1).all()


def test_a_saved_model_resumes_to_the_same_weights(tmp_path):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 8)
    sgd = keras.optimizers.SGD(schedule, momentum=0.9)
    model = network()
    model.compile(proximal(sgd, b=2.0), "mse")
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, again):
        each.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert int(again.optimizer.iterations.numpy()) == 8


@pytest.mark.parametrize("pattern", ["unstructured", "units"])
def test_masked_weights_stay_zero_and_rewinding_resets_the_optimizer(pattern):
    half = kip.schedules.OneShot(0.5, at=0.5)
    choices = {"schedule": half, "rewind": "initial", "pattern": pattern}
    pruned = kip.prune(network(), 0.5, **choices)
    adam = keras.optimizers.Adam(0.01)
    pruned.compile(Proximal(adam, NegativeParts.of(pruned, 20.0)), "mse")
    pruned.fit(X, Y, epochs=20, batch_size=16, verbose=0)
    assert int(pruned.optimizer.iterations.numpy()) == 40  # of 80: rewound once
    final = kip.strip_pruning(pruned)
    for key, mask in pruned.masks.items():
        kernel = final.get_layer(key.split("/")[0]).kernel.numpy()
        assert not kernel[mask.numpy() == 0].any()
    assert kip.proximal.active_layers(final)[:1] == ["a"]
    assert len(kip.proximal.active_layers(final)) < 3
    merged = kip.merge_layers(final)
    assert merged.depth[1] < 4
    np.testing.assert_allclose(merged.model(X), final(X), rtol=1e-3, atol=1e-5)


def test_an_optimizer_as_if_freshly_built():
    variables = [keras.Variable([[1.0, -1.0]], name="kernel")]
    inner = keras.optimizers.Adagrad(0.1)
    optimizer = Proximal(inner, NegativeParts({"": 0.1}))
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(variables)
    fresh = [v.numpy() for v in inner.variables]
    scaled.apply([keras.ops.ones((1, 2))], variables)
    assert check_optimizer(scaled, variables) == pytest.approx(0.1)
    reset_optimizer(scaled, variables, 0.1)
    for one, other in zip(inner.variables, fresh, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


def test_the_learning_rate_is_the_inner_optimizers():
    optimizer = proximal(keras.optimizers.SGD(0.5))
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate.numpy()) == 0.25
    assert float(optimizer.learning_rate.numpy()) == 0.25


def test_what_it_refuses():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match=r"LossScaleOptimizer\(Proximal"):
        proximal(scaled)
    with pytest.raises(TypeError, match="must be an Operator.*Received: 0.1"):
        Proximal("sgd", 0.1)
    model = network()
    before = model.get_weights()
    model.compile(proximal(bb=1.0), "mse")
    with pytest.raises(ValueError, match="called 'bb'. Did you mean 'b'"):
        model.fit(X, Y, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
