import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
from keras_invprune.exporting.planner import planning
from keras_invprune.exporting.planner.candidates import CANDIDATES
from keras_invprune.exporting.planner.row import NOT_TRIED

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")

OUTPUTS = 11  # in the order of names, "output_10" comes before "output_2"


def convolutional(share=0.0):
    """A network of a convolution and a Dense layer with zeros."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    for kernel in (model.layers[0].kernel, model.layers[2].kernel):
        kept = np.random.default_rng(1).random(kernel.shape) >= share
        kernel.assign(kernel * kept)
    return model


def test_names_and_order_are_kept_and_augmentation_is_off(folder, monkeypatch):
    image, number = keras.Input((6, 6, 2), name="an image"), keras.Input((3,), name="b")
    joined = layers.Concatenate()(
        [layers.Flatten()(layers.RandomFlip()(image)), number]
    )
    outputs = [layers.Dense(1 + size)(joined) for size in range(OUTPUTS)]
    model = keras.Model([number, image], outputs)
    kinds = [kind for kind in CANDIDATES if kind.name == "ONNX"]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    target = kip.Target("onnxruntime-cpu", rounds=1)
    found = kip.export(model, folder, target=target, max_loss=1.0)
    assert found.renamed == {"an image": "an_image"} and found.batch_size is None
    assert {"onnx", "onnxruntime", "tf2onnx"} <= set(found.versions)
    random = np.random.default_rng(0)
    x = random.random((5, 3), "float32"), random.random((5, 6, 6, 2), "float32")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    arrays = session.run(None, dict(zip(("b", "an_image"), x, strict=True)))
    for array, expected in zip(arrays, model(x, training=False), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)


def test_zeros_are_left_out_of_the_file_and_change_nothing(tries):
    model = convolutional(0.9)
    found = tries(model, "ONNX", "ONNX, sparse")
    dense, sparse = (found[name].row for name in ("ONNX", "ONNX, sparse"))
    assert dense.verdict == sparse.verdict == ""
    assert sparse.uses_zeros and sparse.bytes < dense.bytes / 2
    assert sparse.runs == dense.runs  # the same differences from Keras
    graph = onnx.load(found["ONNX, sparse"].path).graph
    stored = sorted(len(each.values.float_data) for each in graph.sparse_initializer)
    raw = sorted(len(each.values.raw_data) // 4 for each in graph.sparse_initializer)
    kernels = [model.layers[0].kernel, model.layers[2].kernel]
    assert sorted(map(np.count_nonzero, kernels)) in (stored, raw)


def test_without_zeros_there_is_nothing_to_leave_out(tries):
    row = tries(convolutional(), "ONNX, sparse")["ONNX, sparse"].row
    assert row.verdict == NOT_TRIED and "no kernel gets smaller" in row.reason


def test_convolutions_run_with_8_bit_weights(tries):
    name = "ONNX, int8 dynamic"
    row = tries(convolutional(), name)[name].row
    assert row.verdict == "" and row.runs[0].max_abs_error > 0
    assert [run.runtime for run in row.runs] == [
        "ONNX Runtime, 1 thread",
        "ONNX Runtime, 2 threads",
    ]


def test_loops_take_any_number_of_rows(folder):
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2)])
    target = kip.Target("onnxruntime-cpu", rounds=1)
    found = kip.export(model, folder, target=target, max_loss=1.0)
    assert found.batch_size is None


def test_savings_are_estimated_for_the_runtime():
    found = kip.estimate_savings(
        convolutional(),
        patterns=["unstructured"],
        shares=[0.9],
        rounds=1,
        target="onnxruntime-cpu",
    )
    sizes = {(each.file, each.sparsity): each.bytes for each in found.estimates}
    assert sizes.keys() == {
        ("ONNX", 0.0),
        ("ONNX, int8 dynamic", 0.0),
        ("ONNX, sparse", 0.9),
    }
    assert sizes["ONNX, sparse", 0.9] < sizes["ONNX", 0.0]
    assert found.notes == () and all(e.milliseconds > 0 for e in found.estimates)


def test_a_missing_runtime_leaves_the_size(tries, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    row = tries(convolutional(), "ONNX")["ONNX"].row
    assert row.bytes > 0 and row.runs == () and row.verdict == NOT_TRIED
    assert row.reason == "needs onnxruntime: pip install '.[onnx]'"
