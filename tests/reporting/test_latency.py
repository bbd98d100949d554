import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose

import keras_invprune as kip
from keras_invprune.allocation import Budget
from keras_invprune.allocation.budget import macs_of
from keras_invprune.graph.weights import shapes_of, weights_by_key
from keras_invprune.reporting import latency
from keras_invprune.reporting.latency import LatencyTable, LiteRT, Measured
from keras_invprune.runtimes import RUNTIMES

NOTHING = 0.5  # milliseconds of a file that does nothing, here


class Fake:
    """Says that a model takes NOTHING and its MACs; remembers what was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, models):
        self.asked.append([type(model.layers[-1]).__name__ for model in models])
        return [NOTHING + macs(model) for model in models]

    @property
    def timed(self):
        """The kinds of layers that were measured, without the file of nothing."""
        return [kinds[0] for kinds in self.asked if kinds[0] != "ReLU"]


def macs(model):
    return Budget(macs=1).measure(model) if model.weights else 0.0


def shapes(model):
    return shapes_of(weights_by_key(model))


def on_images(*made, channels=4):
    return keras.Sequential([keras.Input((6, 6, channels)), *made])


def on_steps(*made):
    return keras.Sequential([keras.Input((5, 4)), *made])


def convolutions():
    return on_images(
        layers.Conv2D(8, 3, padding="same", activation="relu", name="one"),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="two"),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="three"),
        layers.Flatten(),
        layers.Dense(3, name="head"),
    )


def made(model, dense=10.0):
    fake = Fake()
    return latency.latency_table(model, dense, fake), fake


def alone(widths, milliseconds):
    axes = [("kernel", 0)], [("kernel", 1)]
    return Measured("layer", *axes, widths, milliseconds)


@pytest.mark.parametrize(
    "inputs, outputs, expected",
    [(2, 4, 1.0), (4, 8, 7.0), (3, 4, 2.0), (2, 6, 2.0), (3, 6, 3.5), (1, 20, 3.0)],
)
def test_times_are_interpolated_between_widths(inputs, outputs, expected):
    layer = alone([[2, 4], [4, 8]], [[1.0, 3.0], [3.0, 7.0]])
    assert layer({"kernel": (inputs, outputs)}) == pytest.approx(expected)


def test_the_table_is_calibrated_on_the_file():
    model = convolutions()
    for dense in (NOTHING + 0.1, 10.0, 1e5):
        table, _ = made(model, dense)
        assert table(shapes(model)) == pytest.approx(dense)


def test_a_linear_runtime_is_predicted_exactly():
    model = convolutions()
    table, _ = made(model, NOTHING + macs(model))
    assert table.scale == pytest.approx(1)
    smaller = shapes(model) | {"two/kernel": (3, 3, 8, 5), "three/kernel": (3, 3, 5, 8)}
    count = Budget(macs=1).cost(model)
    assert table(smaller) == pytest.approx(NOTHING + count(smaller))


def test_equal_layers_are_measured_once():
    table, fake = made(convolutions())
    assert fake.timed == ["Conv2D", "Conv2D", "Dense"]  # "two" and "three" are equal
    assert [layer.name for layer in table.layers] == ["one", "two", "three", "head"]
    assert table.layers[1].milliseconds == table.layers[2].milliseconds


def test_each_call_of_a_shared_layer_counts_at_its_own_size():
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = keras.Input((6, 6, 4))
    model = keras.Model(x, shared(layers.MaxPooling2D()(shared(x))))
    table, _ = made(model)
    first, second = table.layers
    assert_allclose(np.array(first.milliseconds), 4 * np.array(second.milliseconds))


def test_layers_of_inner_models_are_measured():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(6)], name="inner")
    table, _ = made(keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)]))
    assert table.layers[0].inputs == [("inner/dense/kernel", 0)]


@pytest.mark.parametrize(
    "model, kind",
    [
        (lambda: on_images(layers.Conv2DTranspose(6, 2, 2)), "Conv2DTranspose"),
        (lambda: on_images(layers.DepthwiseConv2D(3)), "DepthwiseConv2D"),
        (lambda: on_images(layers.SeparableConv2D(6, 3)), "SeparableConv2D"),
        (lambda: on_steps(layers.Conv1D(6, 3)), "Conv1D"),
        (lambda: on_steps(layers.Dense(6)), "Dense"),
        (lambda: on_steps(layers.EinsumDense("abc,cde->abde", (5, 2, 3))), "Dense"),
        (lambda: on_steps(layers.LSTM(6)), "LSTM"),
        (lambda: on_steps(layers.GRU(6, return_sequences=True)), "GRU"),
    ],
)
def test_each_kind_of_layer_is_measured_at_the_widths_that_weights_have(model, kind):
    model = model()
    table, fake = made(model, NOTHING + macs(model))
    assert fake.timed == [kind] and not table.others
    (layer,) = table.layers
    at_own = layer.milliseconds[-1][-1]
    assert layer.widths[0] == [1, 2, 4] and at_own == pytest.approx(macs(model))
    assert layer.widths[1] in ([1, 3, 6], [1])
    half = {
        key: tuple(n // 2 if n in (4, 6, 24, 18) else n for n in shape)
        for key, shape in shapes(model).items()
    }
    assert table(half) < table(shapes(model))


@pytest.mark.parametrize(
    "model, key",
    [
        (lambda: on_images(layers.Conv2D(8, 3, groups=2)), "conv2d/kernel"),
        (
            lambda: on_steps(layers.Bidirectional(layers.SimpleRNN(3), name="both")),
            "both/forward_layer/cell/kernel",
        ),
    ],
)
def test_other_layers_count_by_their_macs(model, key):
    model = model()
    table, fake = made(model)
    assert fake.timed == [] and table.layers == []
    assert table.others == {k: n for k, n in macs_of(model).each.items() if n}
    assert key in table.others and table(shapes(model)) == pytest.approx(10)


def test_other_layers_count_at_the_speed_of_the_measured():
    model = on_images(
        layers.Conv2D(8, 3, name="one"), layers.Conv2D(8, 3, groups=2, name="two")
    )
    table, _ = made(model, NOTHING + 2 * macs(model))
    assert table.others == pytest.approx({"two/kernel": 4.0})  # uses of each weight
    assert table.scale == pytest.approx(2)


def test_what_the_runtime_rejects_counts_by_its_macs(caplog):
    def rejecting(models):
        if any(isinstance(model.layers[-1], layers.Conv2D) for model in models):
            raise RuntimeError("no such operation\n and a page of it")
        return Fake()(models)

    model = convolutions()
    table = latency.latency_table(model, 10.0, rejecting)
    assert [layer.name for layer in table.layers] == ["head"]
    assert table(shapes(model)) == pytest.approx(10)
    (record,) = [r for r in caplog.records if "'one'" in r.getMessage()]
    assert "by its MACs: no such operation" in record.getMessage()
    assert "page" not in record.getMessage()


def test_a_softmax_of_a_single_unit_is_measured_without_keras_s_warning():
    def called(models):
        for model in models:
            model(np.zeros(model.input_shape))
        return Fake()(models)

    head = layers.Dense(3, "softmax", name="head")
    model = keras.Sequential([keras.Input((4,)), head])
    table = latency.latency_table(model, 10.0, called)
    assert [layer.name for layer in table.layers] == ["head"]


def test_more_units_never_take_less_time():
    random = np.random.default_rng(0)

    def noisy(models):
        return random.uniform(1, 2, len(models))

    model = convolutions()
    table = latency.latency_table(model, 10.0, noisy)
    for layer in table.layers:
        for axis in (0, 1):
            assert (np.diff(layer.milliseconds, axis=axis) >= 0).all()


def test_a_table_survives_its_config():
    table, _ = made(convolutions())
    config = keras.saving.serialize_keras_object(table)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, LatencyTable)
    assert again.get_config() == table.get_config()
    assert again(shapes(convolutions())) == table(shapes(convolutions()))


@pytest.mark.slow
def test_a_budget_of_milliseconds_is_met_in_the_table(monkeypatch):
    monkeypatch.setattr("keras_invprune.exporting.timing.ROUNDS", 2)
    hidden = [layers.Dense(1024, "relu"), layers.Dense(1024, "relu")]
    model = keras.Sequential([keras.Input((256,)), *hidden, layers.Dense(2)])
    (dense,) = RUNTIMES["litert-cpu"].milliseconds([model])
    assert dense > 0
    budget = Budget(milliseconds=0.6 * dense)
    times = iter([dense, 0.59 * dense])  # of the given network, and of the first file
    with monkeypatch.context() as patched:
        patched.setattr(LiteRT, "milliseconds", lambda *_: [next(times)])
        pruned = kip.prune(model, budget, pattern="units", schedule="manual")
    pruned.prune_to(pruned.plan.sparsity)
    small = kip.compact(kip.strip_pruning(pruned))
    table = pruned.plan.cost_of_shapes
    assert all(np.min(layer.milliseconds) > 0 for layer in table.layers)
    assert table(shapes(small)) <= 0.6 * dense * (1 + 1e-9)
    assert budget.check(small) > 0


class Given:
    """A runtime whose table is given: a millisecond of a file, and one for each MAC."""

    def milliseconds(self, models):
        return [NOTHING + macs(model) for model in models]

    def cost(self, model):
        return latency.latency_table(model, NOTHING + macs(model), Fake())


def test_a_network_is_trained_to_a_budget_of_milliseconds(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "given", Given())
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 64)
    x = random.normal(size=(64, 6, 6, 1)).astype("float32") * 0.3
    x[np.arange(64), :, 3 * labels] += 1  # a bright column tells the class
    body = [layers.Conv2D(8, 3, activation="relu"), layers.Conv2D(12, 3)]
    model = on_images(
        *body, layers.BatchNormalization(), layers.ReLU(), layers.Flatten(), channels=1
    )
    model.add(layers.Dense(2, "softmax"))
    whole = NOTHING + macs(model)
    budget = Budget(milliseconds=0.4 * whole, runtime="given")
    pruned = kip.prune(model, budget, pattern="units", schedule="gradual")
    assert isinstance(pruned.plan.cost_of_shapes, LatencyTable)
    assert pruned.plan.sparsity == pytest.approx(0.6)
    rate = keras.optimizers.Adam(0.01)
    pruned.compile(rate, "sparse_categorical_crossentropy", jit_compile=False)
    pruned.fit(x, labels, batch_size=16, epochs=6, verbose=0)
    assert pruned.finished and pruned.state.removed >= 0.6
    stripped = kip.strip_pruning(pruned)
    small = kip.compact(stripped)
    predicted = small.predict(x, verbose=0)
    assert_allclose(predicted, stripped.predict(x, verbose=0), atol=1e-5)
    assert np.mean(predicted.argmax(1) == labels) > 0.9
    found = budget.check(small)
    assert 0.2 * whole < found <= budget.milliseconds
    assert found == pytest.approx(pruned.plan.cost_of_shapes(shapes(small)), rel=1e-6)
