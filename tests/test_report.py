"""The report: every figure against a count or a measurement of its own."""

import json

import keras
import numpy as np
import pytest

import keras_invprune as kip
import zoo
from keras_invprune.report import SCHEMA

PARTS = {
    "schema",
    "name",
    "parameters",
    "weights",
    "macs",
    "layers",
    "left_alone",
    "files",
    "milliseconds",
    "accuracy",
    "consistency",
}
KINDS = {"shift", "scale", "rotation"}


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 8, 8, 1)).astype("float32")
    return x, np.arange(30) % 3


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="head"),
        ],
        name="images",
    )


@pytest.fixture(scope="module")
def found(model, data):
    return kip.report(model, data, runs=5)


def test_the_schema(found):
    assert found["schema"] == SCHEMA and set(found) == PARTS
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_counts(found):
    head = 6 * 6 * 4 * 3
    assert found["parameters"] == 9 * 4 + 4 + head + 3
    assert found["weights"] == {"total": 36 + head, "zeros": 0, "sparsity": 0.0}
    assert found["macs"] == {"dense": 36 * 36 + head, "sparse": 36 * 36 + head}
    assert found["layers"]["conv/kernel"] == {
        "shape": [3, 3, 1, 4],
        "zeros": 0,
        "macs": 36 * 36,
        "sparse_macs": 36 * 36,
    }


def test_the_measurements(found, model, data):
    x, y = data
    assert found["accuracy"] == pytest.approx(
        np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)
    )
    assert set(found["consistency"]) == KINDS
    assert set(found["files"]) == {"model.keras", "saved_model", "model.tflite"}
    assert all(file["gzip_bytes"] > 0 for file in found["files"].values())
    times = found["milliseconds"]
    assert 0 < times["low"] <= times["median"] <= times["high"]


def test_zeros_leave_fewer_macs(model, data):
    pruned = kip.prune(model, 0.5, select=["conv"])
    pruned.compile("sgd", "mse")
    pruned.prune_to(0.5)
    found = kip.report(kip.strip_pruning(pruned), data[0], runs=1)
    assert found["layers"]["conv/kernel"]["sparse_macs"] == 36 * 18
    assert found["macs"]["dense"] - found["macs"]["sparse"] == 36 * 18
    assert found["accuracy"] is None and set(found["consistency"]) == KINDS
    assert set(found["left_alone"]) == {"head/kernel"}


def test_what_cannot_be_made_or_known_says_so():
    layers = [keras.layers.LSTM(3), zoo.Lookup(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4, 3)), *layers])
    found = kip.report(model, runs=1)
    assert "unroll=True" in found["files"]["tflite"]["error"]
    assert set(found["files"]) == {"model.keras", "saved_model", "tflite"}
    assert found["milliseconds"] is None and found["macs"] is None
    assert found["layers"]["lookup/table"]["macs"] is None
    assert found["consistency"] == {}
    assert "refused" in str(found) and "unknown" in str(found)


@pytest.mark.parametrize("end", ["regressor", "autoencoder"])
def test_what_is_no_classifier_has_no_accuracy(end, data, caplog):
    x = data[0][:8]
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(1, 1)])
    if end == "regressor":
        model.add(keras.layers.GlobalAveragePooling2D())
    y = x.mean((1, 2)) if end == "regressor" else x
    found = kip.report(model, (x, y), runs=1)
    assert found["accuracy"] is None and found["consistency"] == {}
    assert "Neither accuracy nor consistency" in caplog.text
    with pytest.raises(ValueError, match="`y` must|`model` must"):  # who asks is told
        kip.report(model, (x, y), views={"same": lambda x: x}, runs=1)


@pytest.mark.parametrize(
    "name", ["several_inputs", "dict_of_inputs", "several_outputs"]
)
def test_models_of_several_inputs_or_outputs(name):
    case = zoo.CASES[name]()
    found = kip.report(case.model, case.x, runs=1)
    assert found["macs"]["dense"] > 0 and found["milliseconds"] is not None


def test_side_by_side(found):
    text = kip.compare({"dense": found, "pruned": found})
    header, *rows = text.splitlines()[1:]
    assert "dense" in header and "pruned" in header
    (macs,) = [row for row in rows if "MACs without" in row]
    assert macs.count(f"{found['macs']['sparse']:,}") == 2
    assert "the head stays dense" in str(found)
