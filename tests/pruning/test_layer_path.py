"""A path over strengths: warm starts, what is recorded, interruptions."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
from keras_invprune.pruning.layer_path import layer_path
from keras_invprune_lab.data import digits

DATA = digits()
X, Y = DATA.x_train.reshape(-1, 64), DATA.y_train
VALID = DATA.x_test.reshape(-1, 64), DATA.y_test
STRENGTHS = [0.0, 16.0, 40.0]
OPTIONS = {"validation_data": VALID, "epochs": 8, "batch_size": 64, "seed": 0}


def network():
    model = keras.Sequential(
        [
            keras.Input((64,)),
            *(layers.Dense(32, "relu", name=f"hidden_{i}") for i in range(4)),
            layers.Dense(10, name="logits"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the path below."""
    return tmp_path_factory.mktemp("path")


@pytest.fixture(scope="module")
def path(finished):
    keras.utils.set_random_seed(0)
    model = network()
    before = model.get_weights()
    found = layer_path(model, STRENGTHS, X, Y, folder=finished, **OPTIONS)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return found


def test_layers_go_and_accuracy_stays(path):
    assert [point.strength for point in path.points] == STRENGTHS
    assert path.points[0].active == 4 and path.points[0].depth == 5
    last = path.points[-1]
    assert last.depth <= 3 and last.active <= 2
    assert last.metrics["accuracy"] > path.points[0].metrics["accuracy"] - 0.03
    assert last.metrics["accuracy"] > 0.9


def test_a_point_is_merged_and_refitted(path):
    merged = path.merged(-1)
    assert merged.depth == (5, path.points[-1].depth) and merged.exact
    path.model.set_weights(path.weights[-1])
    np.testing.assert_allclose(
        merged.model.predict(VALID[0], verbose=0),
        path.model.predict(VALID[0], verbose=0),
        rtol=1e-3,
        atol=1e-3,
    )
    model = merged.model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02), loss, metrics=["accuracy"])
    before = model.evaluate(X, Y, verbose=0)[0]
    model.fit(X, Y, epochs=3, batch_size=64, verbose=0)
    assert model.evaluate(X, Y, verbose=0)[0] < before


def test_what_it_says(path):
    found = json.loads(json.dumps(path.to_json()))["points"]
    assert [point["strength"] for point in found] == STRENGTHS
    first = str(path).splitlines()[0]
    assert first.startswith("strength 0: 4 active layers, depth 5, ")
    assert "accuracy 0.9" in first


class Interrupted(Exception):
    pass


def test_an_interrupted_path_resumes_to_the_same_end(path, tmp_path):
    shown = []

    def stop(point):
        shown.append(point.strength)
        if len(shown) == 2:
            raise Interrupted

    def model():
        keras.utils.set_random_seed(0)
        return network()

    with pytest.raises(Interrupted):
        layer_path(model(), STRENGTHS, X, Y, folder=tmp_path, show=stop, **OPTIONS)
    again = layer_path(
        model(),
        STRENGTHS,
        X,
        Y,
        folder=tmp_path,
        show=lambda point: shown.append(point.strength),
        **OPTIONS,
    )
    assert shown == STRENGTHS
    for one, other in zip(path.weights[-1], again.weights[-1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "path.json",
        "point-0.npz",
        "point-1.npz",
        "point-2.npz",
    ]


def test_dropout_resumes_where_it_was(tmp_path):
    def model():
        keras.utils.set_random_seed(0)
        plain = network().layers[-2:]
        made = keras.Sequential(
            [keras.Input((64,)), layers.Dense(32, "relu"), layers.Dropout(0.5), *plain]
        )
        made.compile("sgd", "sparse_categorical_crossentropy")
        return made

    options = OPTIONS | {"epochs": 1}
    strengths = [1.0, 2.0]
    whole = layer_path(model(), strengths, X, Y, folder=tmp_path, **options)
    state = json.loads((tmp_path / "path.json").read_text())
    state["points"].pop()  # as if it had been interrupted
    (tmp_path / "path.json").write_text(json.dumps(state))
    again = layer_path(model(), strengths, X, Y, folder=tmp_path, **options)
    for one, other in zip(whole.weights[-1], again.weights[-1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def with_other_rate():
    model = network()
    model.optimizer.learning_rate = 0.1
    return model


def with_other_loss():
    model = network()
    model.compile(model.optimizer, keras.losses.SparseCategoricalCrossentropy())
    return model


@pytest.mark.parametrize(
    ("model", "strengths", "x", "options", "message"),
    [
        (network, [0.5], X, {}, r"strengths=\[0.5\]. Saved: \[0.0"),
        (network, STRENGTHS, X + 1, {}, "`data` differs"),
        (network, STRENGTHS, X, {"epochs": 9}, "`fit_options`.*'epochs': 8"),
        (network, STRENGTHS, X, {"seed": 1}, "`seed` differs"),
        (network, STRENGTHS, X, {"rising": False}, "`rising` differs"),
        (network, STRENGTHS, X, {"nonnegative_inputs": True}, "`nonnegative_inputs`"),
        (with_other_rate, STRENGTHS, X, {}, "`optimizer` differs"),
        (with_other_loss, STRENGTHS, X, {}, "`loss` differs"),
        (network, STRENGTHS, X, {"class_weight": {0: 2.0}}, "`class_weight` differs"),
        (network, STRENGTHS, X, {"sample_weight": np.ones(len(X))}, "`sample_weight`"),
    ],
)
@pytest.mark.usefixtures("path")
def test_a_folder_holds_one_path(finished, model, strengths, x, options, message):
    with pytest.raises(ValueError, match=f"another path, .*{message}"):
        layer_path(model(), strengths, x, Y, folder=finished, **OPTIONS | options)


@pytest.mark.usefixtures("path")
def test_a_finished_path_is_loaded_whatever_is_shown(finished):
    shown = {"verbose": 2, "callbacks": [], "show": pytest.fail}
    found = layer_path(network(), STRENGTHS, X, Y, folder=finished, **OPTIONS | shown)
    assert len(found.points) == 3


@pytest.mark.usefixtures("path")
def test_a_path_that_says_less_of_itself_is_loaded(finished, tmp_path):
    """Such as one that was saved before more was compared."""
    copied = shutil.copytree(finished, tmp_path / "path")
    state = json.loads((copied / "path.json").read_text())
    state["about"] = {name: state["about"][name] for name in ("strengths", "shapes")}
    (copied / "path.json").write_text(json.dumps(state))
    found = layer_path(network(), STRENGTHS, X + 1, Y, folder=copied, **OPTIONS)
    assert len(found.points) == 3


def own_loss(y, predicted):
    return keras.ops.mean(keras.ops.square(y - predicted))


class OwnLoss(keras.losses.Loss):
    def __init__(self, without_config):
        super().__init__()

    def call(self, y, predicted):
        return own_loss(y, predicted)


class OwnMetric(keras.metrics.MeanSquaredError):
    pass


class OwnOptimizer(keras.optimizers.SGD):
    pass


@pytest.mark.parametrize(
    "loss", [own_loss, lambda y, p: own_loss(y, p), OwnLoss(1), {"out": own_loss}]
)
def test_a_loss_of_ones_own_needs_no_registration(loss, tmp_path):
    x = keras.Input((4,))
    hidden = layers.Dense(3, "relu")(layers.Dense(3, "relu")(x))
    model = keras.Model(x, {"out": layers.Dense(2, name="out")(hidden)})
    metric = OwnMetric(name="own")
    metrics = {"out": [metric, own_loss]}
    model.compile(OwnOptimizer(0.1), loss, metrics=metrics)
    data = np.ones((8, 4)), {"out": np.ones((8, 2))}
    options = {"validation_data": (*data, np.full(8, 0.5)), "folder": tmp_path}
    path = layer_path(model, [0.0], *data, **options)
    assert any(name.endswith("own_loss") for name in path.points[0].metrics)
    assert layer_path(model, [0.0], *data, **options).points == path.points
    assert float(metric.count) == 0 and model.optimizer.iterations == 0


def uncompiled():
    return keras.Sequential.from_config(network().get_config())


def shallow():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(10)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("model", "strengths", "error", "message"),
    [
        (uncompiled, [0.1], ValueError, "not compiled"),
        (network, [], ValueError, "must not be empty"),
        (network, [0.1, -0.1], ValueError, "not negative"),
        (network, ["much"], TypeError, "must be a number"),
        (network, 0.1, TypeError, "a list of numbers.*strengths=0.1"),
        (shallow, [0.1], ValueError, "No layer of model"),
        (lambda: kip.prune(network(), 0.5), [0.1], ValueError, "strip_pruning"),
        (lambda: keras.Sequential([layers.Dense(2)]), [0.1], ValueError, "built"),
    ],
)
def test_what_it_refuses(model, strengths, error, message):
    with pytest.raises(error, match=message):
        layer_path(model(), strengths, X, Y, **OPTIONS)


@pytest.mark.parametrize(
    ("x", "validation_data", "message"),
    [
        (X, (VALID[0][:, :9], VALID[1]), "shape"),
        (X, (VALID[0], VALID[1].reshape(1, -1)), "[Cc]ardinality"),
        (X, iter([VALID]), "`validation_data`.*more than once"),
        (iter([(X, Y)]), VALID, "`x`.*more than once"),
    ],
)
def test_bad_data_are_refused_before_any_training(x, validation_data, message):
    class Untrained(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise AssertionError("it trains")

    y = Y if isinstance(x, np.ndarray) else None
    options = {"validation_data": validation_data, "callbacks": [Untrained()]}
    with pytest.raises(ValueError, match=message):
        layer_path(network(), [0.1], x, y, **options)
