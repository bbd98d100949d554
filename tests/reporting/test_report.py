"""The report: every figure against a count or a measurement of its own."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
import zoo
from keras_invprune.exporting import timing
from keras_invprune.reporting.report import SCHEMA, Report, compare

PARTS = [
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
    "balanced_accuracy",
    "data",
    "processor",
]
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
    saved = found.to_json()
    assert saved["schema"] == SCHEMA and list(saved) == PARTS
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved
    assert Report.from_json(saved) == found


@pytest.mark.parametrize("saved", [{}, [1], {"schema": "keras_invprune/export/1"}])
def test_what_is_no_report_is_refused(saved):
    with pytest.raises(ValueError, match="must be what `Report.to_json` returns"):
        Report.from_json(saved)


def test_the_counts(found):
    head = 6 * 6 * 4 * 3
    assert found.parameters == 9 * 4 + 4 + head + 3
    assert found.weights == {"total": 36 + head, "zeros": 0, "sparsity": 0.0}
    assert found.macs == {"dense": 36 * 36 + head, "sparse": 36 * 36 + head}
    assert found.layers["conv/kernel"] == {
        "shape": [3, 3, 1, 4],
        "zeros": 0,
        "macs": 36 * 36,
        "sparse_macs": 36 * 36,
    }


def test_the_measurements(found, model, data):
    x, y = data
    assert found.accuracy == pytest.approx(
        np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)
    )
    assert set(found.consistency) == KINDS
    assert set(found.files) == {"model.keras", "saved_model", "model.tflite"}
    assert all(file["gzip_bytes"] > 0 for file in found.files.values())
    times = found.milliseconds
    assert 0 < times["low"] <= times["median"] <= times["high"]


def test_a_data_set_gives_the_report_of_its_arrays(found, model, data):
    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    again = kip.report(model, batches, runs=1)
    for part in ("accuracy", "consistency", "data"):
        assert getattr(again, part) == getattr(found, part)
    same = {"same": lambda x: x}
    expected = {"same": 1.0, "accuracy": found.accuracy}
    assert kip.consistency(model, batches, same) == pytest.approx(expected)
    with pytest.raises(ValueError, match="`y` must be None"):
        kip.consistency(model, batches, same, y)


@pytest.mark.parametrize("stateful", [False, True])
def test_a_model_made_for_one_batch_size(stateful):
    inputs = keras.Input(batch_shape=(4, 5, 3))
    outputs = keras.layers.LSTM(2, stateful=stateful, name="lstm")(inputs)
    model = keras.Model(inputs, outputs)
    x, y = np.random.default_rng(0).normal(size=(10, 5, 3)), np.arange(10) % 2
    found = kip.report(model, (x, y), views={"same": lambda x: x}, runs=2)
    free = keras.Input((5, 3))
    twin = keras.Model(free, keras.layers.LSTM(2)(free))
    twin.set_weights(model.get_weights()[:3])
    expected = np.mean(twin.predict(x, verbose=0).argmax(axis=1) == y)
    assert found.accuracy == expected and found.consistency == {"same": 1.0}
    assert set(found.files) == {"model.keras", "saved_model", "model.tflite"}
    assert found.milliseconds["median"] > 0
    assert found.layers["lstm/cell/kernel"]["macs"] == 5 * 3 * 8


def test_a_classifier_of_rows_is_measured_by_class_and_under_corruption(caplog):
    draws = np.random.default_rng(0)
    x = draws.normal(size=(40, 6)).astype("float32")
    y = (draws.random(40) < 0.2).astype(int)
    layers = [keras.layers.Dense(4, name="body"), keras.layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    found = kip.report(model, (x, y), runs=1)
    right = model.predict(x, verbose=0).argmax(axis=1) == y
    by_class = [right[y == label].mean() for label in (0, 1)]
    assert found.accuracy == pytest.approx(right.mean())
    assert found.balanced_accuracy == pytest.approx(np.mean(by_class))
    assert set(found.consistency) == {"corruption"}
    assert 0 < found.consistency["corruption"] < 1
    assert kip.report(model, (x, y), runs=1).consistency == found.consistency
    text = str(found)
    assert f"{np.mean(by_class):.2%}" in text and "balanced accuracy" in text
    # Nothing was pruned, so nothing was selected either.
    assert found.left_alone["body/kernel"] == "prunable"


def test_an_older_report_is_compared_with_a_newer_one(found):
    saved = found.to_json()
    del saved["balanced_accuracy"], saved["data"]
    old = Report.from_json(saved)
    assert "balanced accuracy" not in compare({"old": old})
    assert "balanced accuracy" in compare({"old": old, "new": found})


def test_what_was_asked_for_stands_by_what_came_out(found):
    weights = {**found.weights, "requested": 0.875}
    assert "87.5%" in compare({"run": replace(found, weights=weights)})
    assert "requested" not in compare({"model": found})


def test_tables_fit_the_width(found):
    long = "residual_stage_1/convolution_2/kernel"
    layer = {"shape": [3, 3, 512, 512], "zeros": 9, "macs": 10**8, "sparse_macs": 10**8}
    layers = {**found.layers, long: layer}
    reports = {f"runs/{name}": replace(found, layers=layers) for name in "abc"}
    lines = compare(reports, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "conv/kernel" in text and "100,000,000" in text and "\u2026" not in text


def test_zeros_leave_fewer_macs(model, data):
    pruned = kip.prune(model, 0.5, select=["conv"])
    pruned.compile("sgd", "mse")
    pruned.prune_to(0.5)
    found = kip.report(kip.strip_pruning(pruned), data[0], runs=1)
    assert found.layers["conv/kernel"]["sparse_macs"] == 36 * 18
    assert found.macs["dense"] - found.macs["sparse"] == 36 * 18
    assert found.accuracy is None and set(found.consistency) == KINDS
    assert set(found.left_alone) == {"head/kernel"}


def test_what_cannot_be_made_or_known_says_so():
    layers = [keras.layers.LSTM(3), zoo.Lookup(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4, 3)), *layers])
    found = kip.report(model, runs=1)
    assert "unroll=True" in found.files["tflite"]["error"]
    assert set(found.files) == {"model.keras", "saved_model", "tflite"}
    assert found.milliseconds is None and found.macs is None
    assert found.layers["lookup/table"]["macs"] is None
    assert found.consistency == {}
    assert "refused" in str(found) and "unknown" in str(found)


@pytest.mark.parametrize("end", ["regressor", "autoencoder"])
def test_what_is_no_classifier_has_no_accuracy(end, data, caplog):
    x = data[0][:8]
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(1, 1)])
    if end == "regressor":
        model.add(keras.layers.GlobalAveragePooling2D())
    y = x.mean((1, 2)) if end == "regressor" else x
    found = kip.report(model, (x, y), runs=1)
    assert found.accuracy is None and found.consistency == {}
    assert "Accuracy and consistency are unknown" in caplog.text
    with pytest.raises(ValueError, match="`y` must|`model` must"):  # who asks is told
        kip.report(model, (x, y), views={"same": lambda x: x}, runs=1)


@pytest.mark.parametrize(
    "name", ["several_inputs", "dict_of_inputs", "several_outputs"]
)
def test_models_of_several_inputs_or_outputs(name):
    case = zoo.CASES[name]()
    found = kip.report(case.model, case.x, runs=1)
    assert found.macs["dense"] > 0 and found.milliseconds is not None


def test_side_by_side(found):
    text = kip.compare({"dense": found, "pruned": found})
    header, *rows = text.splitlines()[1:]
    assert "dense" in header and "pruned" in header
    (macs,) = [row for row in rows if "MACs without" in row]
    assert macs.count(f"{found.macs['sparse']:,}") == 2
    assert "the head stays dense" in str(found)


def test_reports_on_different_data_are_told_apart(found, model, data):
    x, y = data
    other = kip.report(model, (x[::-1], y), views={}, runs=1)
    assert other.data["rows"] == found.data["rows"] == 30
    warning = "Measured on different data"
    assert warning in kip.compare({"one": found, "other": other})
    assert warning not in kip.compare({"one": found, "same": found})
    old = replace(found, data=None)
    assert warning not in kip.compare({"old": old, "new": found})
    assert kip.report(model, views={}, runs=1).data is None


def test_milliseconds_of_different_processors_are_told_apart(found):
    other, unknown = replace(found, processor="other"), replace(found, processor="")
    assert found.processor == timing.processor() != ""
    warning = "Measured on different processors"
    text = kip.compare({"here": found, "there": other}, width=300)
    assert warning in text and "'there' on other" in text
    for one in (found, unknown, replace(other, milliseconds=None)):
        assert warning not in kip.compare({"here": found, "there": one})


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        (lambda found, model: {}, r"Received: \{\}"),
        (lambda found, model: [found], "must be a dict {heading.*Received: a list"),
        (lambda found, model: {"a": found.to_json()}, "Received: a dict as 'a'"),
        (lambda found, model: found, "must be a dict {heading.*Received: a Report"),
        (lambda found, model: {"a": model}, r"a Sequential as 'a'. `kip.report\(model"),
    ],
)
def test_what_is_no_dict_of_reports(found, model, reports, message):
    with pytest.raises(TypeError, match=message):
        kip.compare(reports(found, model))


def test_a_model_under_masks_is_refused_as_a_report(model):
    pruned = kip.prune(model, 0.5)
    with pytest.raises(ValueError, match="must be a plain model.*strip_prun"):
        kip.report(pruned)


# Whatever export takes


def two_outputs():
    inputs = keras.Input((3,))
    outputs = {n: keras.layers.Dense(k)(inputs) for n, k in (("p", 2), ("q", 3))}
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("labels", [lambda y: {"p": y, "q": y}, lambda y: [y, y]])
def test_of_several_outputs_neither_accuracy_nor_consistency_is_known(labels, caplog):
    x, y = np.ones((20, 3), "float32"), np.arange(20) % 2
    found = kip.report(two_outputs(), (x, labels(y)), runs=1)
    assert found.accuracy is None and found.consistency == {}
    assert "models with one output" in caplog.text


def test_one_output_in_a_dictionary():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, {"classes": keras.layers.Dense(2)(inputs)})
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    y = model.predict(x, verbose=0)["classes"].argmax(1)
    for labels in (y, {"classes": y}):
        found = kip.report(model, (x, labels), runs=1)
        assert found.accuracy == found.balanced_accuracy == 1.0


def test_strings_with_labels():
    lookup = keras.layers.StringLookup(vocabulary=["x", "y"], output_mode="one_hot")
    dense = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((1,), dtype="string"), lookup, dense])
    dense.set_weights([np.array([[1, 1], [1, 0], [0, 1]])])
    x, y = np.array([["x"], ["y"]] * 6, object), np.arange(12) % 2
    assert kip.report(model, (x, y), runs=1).accuracy == 1.0


@pytest.mark.parametrize("heading", ["runs/[b]", "[/x]", 3])
def test_headings_are_printed_as_they_are(heading):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="d[0]")])
    text = kip.compare({heading: kip.report(model, runs=1)})
    assert text.count(str(heading)) >= 2 and "d[0]/kernel" in text


@pytest.mark.parametrize("runs", [0, "3", None])
def test_a_report_needs_runs(runs):
    with pytest.raises(ValueError, match="`runs` must be at least 1"):
        kip.report(two_outputs(), runs=runs)


def test_views_leave_channels_that_come_first_as_they_are():
    keras.config.set_image_data_format("channels_first")
    try:
        inputs = keras.Input((3, 16, 16))
        darkest = keras.ops.min(inputs[:, 0], axis=(1, 2))  # 1 as long as all are
        outputs = keras.ops.stack([darkest - 0.9, 0 * darkest], axis=-1)
        x = np.zeros((6, 3, 16, 16), "float32")
        x[:, 0] = 1.0
        found = kip.report(keras.Model(inputs, outputs), x, runs=2)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert found.consistency == {"shift": 1.0, "scale": 1.0, "rotation": 1.0}
