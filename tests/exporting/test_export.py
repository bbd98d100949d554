import errno
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_invprune
import zoo
from disks import small_disk
from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.export import ExportError, export
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.verify import Differs, SameOutputs
from keras_invprune.graph.weights import walk


def rows(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def block_sparse(kernel, sparsity, block=1):
    """Zeros in runs of `block` along the inputs."""
    inputs, outputs = kernel.shape
    kept = np.random.default_rng(2).random((inputs // block, outputs)) >= sparsity
    return kernel.numpy() * np.repeat(kept, block, axis=0)


def dense_model(sparsity=0.9, block=1, width=256):
    model = keras.Sequential(
        [
            keras.Input((width,), name="features"),
            keras.layers.Dense(width, activation="relu", bias_initializer="normal"),
            keras.layers.Dense(4),
        ]
    )
    kernel = model.layers[0].kernel
    kernel.assign(block_sparse(kernel, sparsity, block))
    return model


@keras.saving.register_keras_serializable("test_export")
class OwnMask(keras.layers.Dense):
    """Multiplies its kernel, which has no zero, by a constant that has many."""

    def call(self, x):
        kept = np.random.default_rng(2).random(self.kernel.shape) >= 0.95
        return x @ (self.kernel * kept.astype("float32"))


def test_zeros_that_only_the_converter_sees_are_not_stored(folder):
    model = keras.Sequential([keras.Input((256,)), OwnMask(256, use_bias=False)])
    found = export(model, folder, formats=("tflite",))
    entry = found.files["model.tflite"]
    assert found.weights["zeros"] == 0 and entry["sparse"]
    assert entry["bytes"] < entry["dense_bytes"] / 4


def test_text_is_compared(folder):
    x = keras.Input((3,), name="x")
    names = keras.layers.StringLookup(vocabulary=["a", "b"], invert=True)
    classes = keras.ops.argmax(keras.layers.Dense(2)(x), axis=-1)
    model = keras.Model(x, names(classes))
    data = rows(8, 3), np.arange(8) % 2
    found = export(model, folder, data=data, formats=("keras", "saved_model"))
    assert found.files["saved_model"]["max_abs_error"] == 0 and found.accuracy is None
    same = SameOutputs(model, *data, None)
    (name, answers), *_ = same.outputs.items()
    with pytest.raises(Differs, match="is off by inf"):
        same(lambda _: {name: answers[::-1].copy() + b"x"}, 1e-4, 8)


def tiny_model():
    return keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])


def run_tflite(path, **inputs):
    return Interpreter(str(path)).get_signature_runner("serving_default")(**inputs)


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with nine tenths zeros, its folder, and the report."""
    model, folder = dense_model(), tmp_path_factory.mktemp("exported") / "mine"
    before = [weight.numpy() for weight in model.weights]
    report = export(model, folder)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    return model, folder, report


def test_each_file_computes_what_the_model_computes(exported):
    model, folder, report = exported
    x = rows(50, 256)
    expected = model.predict(x, verbose=0)
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-5)
    saved = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(saved.serve(x), expected, atol=1e-5)
    lite = run_tflite(folder / "model.tflite", features=x)["output_0"]
    np.testing.assert_allclose(lite, expected, atol=1e-5)
    assert {path.name for path in folder.iterdir()} == {*report.files, "report.json"}


def test_the_report(exported):
    model, folder, report = exported
    saved = json.loads((folder / "report.json").read_text())
    assert saved == report.to_json()
    assert list(saved)[0] == "schema" and saved["schema"] == "keras_invprune/export/1"
    assert report.inputs == "random"
    assert report.accuracy is None

    kernels = [layer.kernel.numpy() for layer in model.layers]
    zeros = int(sum((kernel == 0).sum() for kernel in kernels))
    total = 256 * 256 + 256 * 4
    expected = {"total": total, "zeros": zeros, "sparsity": zeros / total}
    assert expected.items() <= report.weights.items()
    assert len(report.weights["by_key"]) == len(kernels)

    for name, entry in report.files.items():
        path = folder / name
        contents = files_in(path).values() if path.is_dir() else [path.read_bytes()]
        assert entry["bytes"] == sum(map(len, contents))
        assert entry["gzip_bytes"] == sum(len(gzip.compress(c, 6)) for c in contents)
        assert 0 <= entry["max_abs_error"] < 1e-4
    lite = report.files["model.tflite"]
    assert 0 <= lite["max_abs_error_without_delegate"] < 1e-4
    assert report.versions["ai-edge-litert"] == version("ai-edge-litert")


def test_zeros_are_not_stored(exported):
    entry = exported[2].files["model.tflite"]
    assert entry["sparse"] is True
    assert entry["dense_bytes"] > 256 * 256 * 4
    assert entry["bytes"] < entry["dense_bytes"] / 4


def test_zeros_are_left_out_where_the_converter_s_blocks_do_not_fit(folder, tmp_path):
    model = keras.Sequential([keras.Input((126,)), keras.layers.Dense(64)])
    kernel = model.layers[0].kernel
    kernel.assign(kernel * np.repeat(rows(32, 64) > 1, 4, axis=0)[:126])
    model.export(tmp_path / "saved", verbose=False)
    made = converter.converted(tmp_path / "saved", {"sparsity"})
    assert litert.lacks_entries(made)  # without this hazard, no mend is needed
    entry = export(model, folder, formats=("tflite",)).files["model.tflite"]
    assert entry["sparse"] and entry["bytes"] < entry["dense_bytes"] / 2


@pytest.mark.parametrize(
    ("sparsity", "options"),
    [
        (0.2, ("sparsity",)),
        (0.4, ("sparsity", "int8")),  # an index takes as much room as a weight
        (0.9, ()),
    ],
)
def test_zeros_are_stored_where_that_is_smaller_or_asked_for(folder, sparsity, options):
    model = dense_model(sparsity)
    report = export(model, folder, formats=("tflite",), tflite_options=options)
    entry = report.files["model.tflite"]
    assert entry["sparse"] is False
    assert entry["bytes"] == entry["dense_bytes"]


@pytest.mark.parametrize(("option", "bytes_per_weight"), [("float16", 2), ("int8", 1)])
def test_number_formats(folder, option, bytes_per_weight):
    model = dense_model()
    entry = export(model, folder, formats=("tflite",), tflite_options=(option,))
    entry = entry.files["model.tflite"]
    assert entry["bytes"] == pytest.approx(256 * 260 * bytes_per_weight, rel=0.15)
    # Rounding shows, and is allowed for.
    assert 1e-6 < entry["max_abs_error"] < 0.1


@pytest.mark.parametrize(
    ("block", "option", "symptom", "without_delegate"),
    [(4, "float16", "off by nan", np.nan), (16, "int8", "off by", 0)],
)
def test_sparse_weights_that_litert_computes_wrongly_are_refused(
    folder, tmp_path, block, option, symptom, without_delegate
):
    model, x = dense_model(0.9, block, width=512), rows(32, 512)
    options = ("sparsity", option)
    model.export(tmp_path / "saved", verbose=False)
    content, _ = converter.convert(tmp_path / "saved", options)

    def difference(delegate):
        outputs = litert.runtime(content, delegate=delegate)({"features": x})
        return np.abs(outputs["output_0"] - model.predict(x, verbose=0)).max()

    if difference(delegate=True) < 0.1:
        pytest.skip(f"LiteRT {version('ai-edge-litert')} computes it right")
    np.testing.assert_allclose(difference(delegate=False), without_delegate, atol=0.1)
    message = f"LiteRT with default delegate: output 'output_0' is {symptom}"
    with pytest.raises(ExportError, match=f"tflite was rejected.*{message}.*help"):
        export(model, folder, formats=("tflite",), tflite_options=options)
    assert not folder.exists()


@pytest.mark.parametrize(("place", "name"), [(0, "default"), (1, "no")])
def test_a_file_that_ends_the_process_of_litert_is_refused(
    folder, monkeypatch, place, name
):
    unload, seen = Sandbox.unload, []

    def deadly(self):
        if len(seen) == place:
            self._process.kill()
        seen.append(self)
        unload(self)

    monkeypatch.setattr(Sandbox, "unload", deadly)
    fault = rf"LiteRT with {name} delegate: LiteRT crashed \(signal SIGKILL\)"
    with pytest.raises(ExportError, match=f"{fault}.*help: `tflite_options="):
        export(tiny_model(), folder, formats=("tflite",))
    assert not folder.exists() and len(seen) == place + 1


def test_a_network_with_convolutions_trained_and_given_data(folder):
    x = rows(300, 8, 8, 1)
    y = (x.mean(axis=(1, 2, 3)) > 0).astype(int)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    report = export(model, folder, data=(x, y), tflite_options=())
    assert report.inputs == "given"
    # Of all 300 rows, though 256 are compared.
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    assert report.accuracy == np.mean(predicted == y)
    assert model.optimizer is not None


@pytest.mark.parametrize(
    ("y", "accuracy"),
    [
        (np.array([[0], [1]] * 5), 0.5),
        (np.array([0.3, 0.7] * 5), None),  # a regression
    ],
)
def test_one_output(folder, y, accuracy):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    x = rows(10, 3)
    model.layers[0].bias.assign([100.0])  # always class 1
    report = export(model, folder, data=(x, y), formats=("keras",))
    assert report.accuracy == accuracy


def as_data_set(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def as_dict_of_sparse(x, y):
    return {"x": tf.sparse.from_dense(x)}, y


def as_data_set_of_sparse(x, y):
    x = tf.data.Dataset.from_tensor_slices(tf.sparse.from_dense(x))
    return tf.data.Dataset.zip(x, tf.data.Dataset.from_tensor_slices(y)).batch(4)


@pytest.mark.parametrize(
    "make", [as_data_set, as_dict_of_sparse, as_data_set_of_sparse]
)
def test_data_sets_and_sparse_tensors(folder, make):
    model, x = tiny_model(), np.maximum(rows(10, 3), 0)
    y = np.arange(10) % 2
    report = export(model, folder, data=make(x, y), formats=("keras",))
    assert report.inputs == "given"
    assert report.accuracy == np.mean(model.predict(x).argmax(axis=1) == y)


def test_a_data_set_without_labels_end_or_batches(folder):
    data = tf.data.Dataset.from_tensor_slices(rows(10, 3))
    report = export(tiny_model(), folder, data=data.batch(4), formats=("keras",))
    assert report.inputs == "given" and report.accuracy is None
    with pytest.raises(ValueError, match="must be finite"):
        export(tiny_model(), folder, data=data.batch(4).repeat())
    with pytest.raises(ValueError, match="an empty data set"):
        export(tiny_model(), folder, data=data.batch(4).take(0))


def two_inputs_and_many_outputs():
    # Neither names nor outputs come in the order of the alphabet: "output_10" is
    # before "output_2" there.
    b, a = keras.Input((4,), name="b"), keras.Input((5,), name="a")
    joined = keras.layers.Concatenate()([b, a])
    outputs = [
        keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(i))(joined)
        for i in range(12)
    ]
    return keras.Model([b, a], outputs)


def test_several_inputs_and_outputs_are_matched_by_name(folder):
    model = two_inputs_and_many_outputs()
    b, a = rows(9, 4), 10 + rows(9, 5)
    export(model, folder, data={"a": a, "b": b}, formats=("keras",))
    export(model, folder, data=[b, a], formats=("tflite",), tflite_options=())
    expected = model.predict([b, a], verbose=0)
    found = run_tflite(folder / "model.tflite", a=a, b=b)
    assert set(found) == {f"output_{i}" for i in range(12)}
    for i, output in enumerate(expected):
        np.testing.assert_allclose(found[f"output_{i}"], output, atol=1e-4)


@keras.saving.register_keras_serializable("test_export")
class DictModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        right = self.dense(inputs["right"])
        return {"z": right, "a": self.dense(inputs["left"]) - 5.0}


def test_a_subclassed_model_with_dicts(folder):
    model = DictModel()
    left, right = 10 + rows(9, 4), rows(9, 4)
    data = {"right": right, "left": left}
    expected = model(data)
    export(model, folder, data=data, tflite_options=())
    found = run_tflite(folder / "model.tflite", input_left=left, input_right=right)
    for name in ("a", "z"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_integers_stay_inside_the_vocabulary(folder):
    layers = [keras.layers.Embedding(2, 3), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
    report = export(model, folder, formats=("saved_model",))
    assert report.weights["total"] == 2 * 3


def test_axes_of_unknown_length_need_data(folder):
    layers = [keras.layers.Conv1D(4, 3), keras.layers.GlobalMaxPooling1D()]
    model, x = keras.Sequential([keras.Input((None, 2)), *layers]), rows(40, 7, 2)
    with pytest.raises(ValueError, match="Random inputs need.*real inputs: `data=x`"):
        export(model, folder)
    report = export(model, folder, data=x, formats=("tflite",), tflite_options=())
    assert report.files["model.tflite"]["max_abs_error"] < 1e-5


def test_recurrent_layers_need_unrolling_for_tflite(folder):
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)])
    message = r'converter: .tf.TensorList.*batch_size=1.*unroll=True.*"saved_model"\)'
    with pytest.raises(ExportError, match=message):
        export(model, folder)
    assert not folder.exists()
    model = keras.Sequential([keras.Input((3, 3)), keras.layers.GRU(4, unroll=True)])
    report = export(model, folder, formats=("tflite",), tflite_options=())
    # Its bias has two axes, and yet is no kernel.
    assert report.weights["total"] == 3 * 12 + 4 * 12
    assert report.weights["left_alone"].keys() == report.weights["by_key"].keys()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_mixed_precision_computes_in_float32_in_a_file(
    folder, policy, caplog
):
    attend = keras.layers.MultiHeadAttention(2, 3, dtype=policy)
    inputs = keras.Input((5, 4))
    x = keras.layers.Dense(6, "relu", dtype=policy)(attend(inputs, inputs))
    x = keras.layers.GRU(3, unroll=True, dtype=policy)(x)
    model, given = keras.Model(inputs, keras.layers.Dense(2)(x)), rows(9, 5, 4)
    before = np.asarray(model(given))
    policies = [layer.dtype_policy.name for _, layer in walk(model)]
    found = export(model, folder, data=given).files
    assert f"in float32, since LiteRT does not support the dtype policy '{policy}'" in (
        caplog.text
    )
    assert [layer.dtype_policy.name for _, layer in walk(model)] == policies
    np.testing.assert_array_equal(model(given), before)
    saved = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(saved.serve(given), before, atol=1e-3)
    assert 0 < found["model.tflite"]["max_abs_error"] < 0.1
    assert export(model, folder, data=given, formats=("tflite",)).files
    for _, layer in walk(model):
        layer.dtype_policy = "float32"
    lite = Interpreter(str(folder / "model.tflite")).get_signature_runner()
    (name,) = lite.get_input_details()
    np.testing.assert_allclose(
        lite(**{name: given})["output_0"], model(given), atol=1e-5
    )


def test_a_model_whose_weights_are_not_float32_is_sent_to_its_twin(folder):
    policy = "bfloat16"
    layers = [keras.layers.Conv2D(2, 3, dtype=policy), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((5, 5, 1)), *layers])
    rule = rf"(?s)converter.*dtype policy '{policy}'.*export the twin, or `formats"
    with pytest.raises(ExportError, match=rule):
        export(model, folder)
    assert not folder.exists()
    twin = keras.Sequential(
        [keras.Input((5, 5, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()]
    )
    twin.set_weights(model.get_weights())
    assert export(twin, folder).files["model.tflite"]["max_abs_error"] < 1e-5


def unregistered():
    """A layer whose class no Keras finds: it is nowhere but in here."""

    class Unregistered(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    return Unregistered()


def test_a_file_that_cannot_be_loaded_again_is_refused(folder):
    model = keras.Sequential([keras.Input((3,)), unregistered()])
    with pytest.raises(ExportError, match="(?s)model.keras.*register_keras_serial"):
        export(model, folder, formats=("keras",))
    assert not folder.exists()


@keras.saving.register_keras_serializable("test_export")
class Forgetful(keras.layers.Layer):
    """Loses its factor when it is saved."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config()


def test_a_file_that_computes_something_else_is_refused(folder):
    model = keras.Sequential([keras.Input((3,)), Forgetful(1.001)])
    message = r"model.keras was rejected.*'output_0' is off by 0\.00\d+, allowed 0\.000"
    with pytest.raises(ExportError, match=message):
        export(model, folder, formats=("keras",))
    report = export(model, folder, formats=("keras",), tolerance=0.01)
    assert 1e-4 < report.files["model.keras"]["max_abs_error"] < 0.01


def test_the_tolerance_grows_with_the_outputs(folder):
    model = keras.Sequential([keras.Input((3,)), Forgetful(1.001)])
    arguments = {"data": np.full((5, 3), 1e3), "formats": ("keras",)}  # off by 1
    with pytest.raises(ExportError, match="off by 1, allowed 0.5"):
        export(model, folder, **arguments, tolerance=5e-4)
    export(model, folder, **arguments, tolerance=2e-3)


def test_coarse_numbers_must_not_change_small_outputs(folder):
    weights = np.random.default_rng(0).uniform(-0.35, 0.35, (4, 300))
    weights[0] = 100  # of an input that is 0; int8 has no room for the others beside it
    dense = keras.layers.Dense(300, "softmax", use_bias=False)
    model = keras.Sequential([keras.Input((4,)), dense])
    dense.set_weights([weights])
    x = rows(64, 4) * [0, 1, 1, 1]
    with pytest.raises(ExportError, match=r"off by 0\.00\d+, allowed 0\.00"):
        export(model, folder, data=x, formats=("tflite",), tflite_options=("int8",))


def test_the_share_of_rows_in_the_same_class_is_told(folder):
    model = keras.Sequential([keras.Input((3,)), Forgetful(-1.0)])
    x = rows(32, 3)
    report = export(model, folder, data=x, formats=("keras",), tolerance=9.0)
    expected = np.mean(x.argmax(1) == (-x).argmax(1))
    assert report.files["model.keras"]["same_class"] == expected
    report = export(tiny_model(), folder)
    shares = {entry["same_class"] for entry in report.files.values()}
    assert shares <= {1.0, None}


def test_one_number_for_a_whole_batch(folder):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.mean(keras.layers.Dense(2)(inputs)))
    report = export(model, folder, formats=("keras", "saved_model"))
    assert all(e["max_abs_error"] < 1e-4 for e in report.files.values())


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("RandomFlip", ()),
        ("RandomRotation", (0.3,)),
        ("RandomContrast", (0.9,)),
        ("GaussianNoise", (1.0,)),
        ("Dropout", (0.5,)),
    ],
)
def test_layers_random_in_training_are_exported_as_in_evaluation(
    folder, kind, arguments
):
    layer = getattr(keras.layers, kind)(*arguments)
    # Nested, as augmentation often is.
    augment = keras.Sequential([keras.Input((6, 6, 1)), layer])
    dense = keras.layers.Dense(3)
    layers = [augment, keras.layers.Flatten(), dense]
    model, x = keras.Sequential([keras.Input((6, 6, 1)), *layers]), rows(9, 6, 6, 1)
    export(model, folder, data=x, formats=("saved_model", "tflite"), tflite_options=())
    expected = x.reshape(9, 36) @ dense.kernel.numpy()
    saved = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(saved.serve(x), expected, atol=1e-4)
    lite = Interpreter(str(folder / "model.tflite")).get_signature_runner()
    (name,) = lite.get_input_details()
    np.testing.assert_allclose(lite(**{name: x})["output_0"], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("float32", 1e-4), ("mixed_float16", 1e-2), ("bfloat16", 1e-1)],
)
def test_the_tolerance_is_that_of_the_coarsest_float(folder, policy, tolerance):
    layers = [
        keras.layers.Conv2D(16, 3, dtype=policy),
        keras.layers.BatchNormalization(dtype=policy),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    formats = ("keras", "saved_model")
    assert export(model, folder, formats=formats).tolerance == tolerance
    assert export(model, folder, formats=formats, tolerance=0.5).tolerance == 0.5


def test_an_explicit_tolerance_wins_over_a_coarser_float(folder):
    layers = [Forgetful(1.001), keras.layers.Dense(2, dtype="bfloat16")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    with pytest.raises(ExportError, match="off by"):
        export(model, folder, formats=("keras",), tolerance=1e-6)


def tensors_of(path):
    """(shape of the first input, whether a tensor has an axis of any length)."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    shape = interpreter.get_input_details()[0]["shape_signature"].tolist()
    tensors = interpreter.get_tensor_details()
    return shape, any(-1 in tensor["shape_signature"] for tensor in tensors)


def convolutions(functional, **batch):
    layers = [
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Reshape((4, 8)),
        keras.layers.Dense(3),
        keras.layers.Flatten(),
    ]
    inputs = keras.Input(**batch, name="px")
    if not functional:
        return keras.Sequential([inputs, *layers])
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("functional", [True, False])
@pytest.mark.parametrize(
    ("own", "asked", "size"), [(1, None, 1), (3, None, 3), (None, 1, 1), (3, 3, 3)]
)
def test_a_fixed_batch_is_kept_or_made(folder, functional, own, asked, size):
    model = convolutions(functional, batch_shape=(own, 6, 6, 1))
    x = rows(10, 6, 6, 1)  # no multiple of 3
    report = export(model, folder, data=(x, np.arange(10) % 12), batch_size=asked)
    assert report.batch_size == size
    assert tensors_of(folder / "model.tflite") == ([size, 6, 6, 1], False)
    expected = model.predict(x, verbose=0, batch_size=own)[:size]
    found = run_tflite(folder / "model.tflite", px=x[:size])["output_0"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    saved = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(saved.serve(x[:size]), expected, atol=1e-4)


def test_a_batch_that_the_model_was_not_made_for_is_refused(folder):
    model = convolutions(True, batch_shape=(3, 6, 6, 1))
    with pytest.raises(ValueError, match=r"batches of \[3\].*Received: batch_size=1"):
        export(model, folder, batch_size=1)


@pytest.mark.parametrize("copied", [False, True])
def test_the_batch_of_a_first_call_binds_nothing(folder, caplog, copied):
    model = keras.Sequential([keras.layers.Dense(2)])
    model(rows(5, 3))
    model = keras.models.clone_model(model) if copied else model
    assert export(model, folder, formats=("saved_model",)).batch_size is None
    assert "any size, although" in caplog.text and "batch_size=5" in caplog.text
    x = rows(7, 3)
    saved = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(saved.serve(x), model(x), atol=1e-5)


def test_a_sequential_without_symbolic_tensors(folder):
    model, x, *_ = zoo.without_shapes()
    assert export(model, folder, data=x).batch_size is None
    found = run_tflite(folder / "model.tflite", input=x)["output_0"]
    np.testing.assert_allclose(found, model(x), atol=1e-4)


def test_states_are_reset_before_each_run_and_left_as_they_were(folder):
    lstm = keras.layers.LSTM(4, stateful=True)
    layers = [lstm, keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3), name="x"), *layers])
    x = rows(2, 5, 3)
    first = model(x).numpy()
    states = [state.numpy() for state in lstm.states]
    export(model, folder, data=rows(7, 5, 3), tflite_options=())
    for state, before in zip(lstm.states, states, strict=True):
        np.testing.assert_array_equal(state.numpy(), before)
    second = model(x).numpy()
    assert np.abs(second - first).max() > 1e-3  # the states do matter
    saved = tf.saved_model.load(str(folder / "saved_model"))
    lite = Interpreter(str(folder / "model.tflite"))
    lite = lite.get_signature_runner("serving_default")
    for expected in (first, second):
        np.testing.assert_allclose(saved.serve(x), expected, atol=1e-5)
        np.testing.assert_allclose(lite(x=x)["output_0"], expected, atol=1e-5)


def test_a_rolled_lstm_converts_with_a_fixed_batch(folder):
    inputs = keras.Input((5, 3), name="x")
    model = keras.Model(inputs, keras.layers.LSTM(4)(inputs))
    export(model, folder, batch_size=1, formats=("tflite",), tflite_options=())
    x = rows(1, 5, 3)
    found = run_tflite(folder / "model.tflite", x=x)["output_0"]
    np.testing.assert_allclose(found, model(x), atol=1e-5)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a b", "a_b"], ["a_b_2", "a_b"]),
        (["class", "größe"], ["class_", "gr__e"]),
        (["1st", "self"], ["input_1st", "self_"]),
        (["A", "a"], ["A", "a_2"]),  # TensorFlow sees no difference
    ],
)
def test_names_that_files_cannot_have_are_replaced(folder, caplog, names, expected):
    inputs = [keras.Input((3,), name=name) for name in names]
    model = keras.Model(inputs, keras.layers.Subtract()(inputs))
    x = [rows(4, 3), 5 + rows(4, 3)]
    given = dict(zip(names, x, strict=True))
    report = export(model, folder, data=given, tflite_options=())
    pairs = zip(names, expected, strict=True)
    assert report.renamed == {name: safe for name, safe in pairs if name != safe}
    for name, safe in report.renamed.items():
        assert f"{name!r} is named {safe!r}" in caplog.text
    inputs = dict(zip(expected, x, strict=True))
    found = run_tflite(folder / "model.tflite", **inputs)["output_0"]
    np.testing.assert_allclose(found, x[0] - x[1], atol=1e-5)
    saved = tf.saved_model.load(str(folder / "saved_model"))
    found = saved.signatures["serving_default"](
        **{name: tf.constant(array) for name, array in inputs.items()}
    )
    np.testing.assert_allclose(found["output_0"], x[0] - x[1], atol=1e-5)


def test_a_keras_file_may_have_any_names(folder):
    inputs = [keras.Input((3,), name=name) for name in ("a b", "a_b", "class")]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    assert export(model, folder, formats=("keras",)).renamed == {}


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (lambda a, b: {"a b": a, "a_b": b}, ["a_b_2", "a_b"]),
        (lambda a, b: {"1": a, "größe": b}, ["output_1", "gr__e"]),
        (lambda a, b: {"x": {"y": a, "z": b}}, ["output_0", "output_1"]),
        (lambda a, b: [a, {"z": b}], ["output_0", "output_1"]),
    ],
)
def test_names_of_outputs(folder, caplog, outputs, names):
    inputs = keras.Input((3,), name="x")
    a, b = keras.layers.Rescaling(2)(inputs), keras.layers.Rescaling(3)(inputs)
    model, x = keras.Model(inputs, outputs(a, b)), rows(4, 3)
    report = export(model, folder, data=x)
    keys = [k for k in model.output if isinstance(k, str)]
    expected = dict(zip(keys, names, strict=False)) if len(keys) == 2 else {}
    renamed = {name: safe for name, safe in expected.items() if name != safe}
    assert report.outputs_renamed == renamed
    for name, safe in renamed.items():
        assert f"The output {name!r} is named {safe!r}" in caplog.text
    found = run_tflite(folder / "model.tflite", x=x)
    for name, factor in zip(names, (2, 3), strict=True):
        np.testing.assert_allclose(found[name], factor * x, atol=1e-5)


@keras.saving.register_keras_serializable("test_export")
class Noisy(keras.layers.Layer):
    """Draws whether it is trained or not."""

    def call(self, inputs):
        return inputs + keras.random.normal((3,))


@keras.saving.register_keras_serializable("test_export")
class WithNumPy(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.convert_to_tensor(np.sin(np.asarray(inputs)))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


@keras.saving.register_keras_serializable("test_export")
class InPython(keras.layers.Layer):
    def call(self, inputs):
        outputs = tf.py_function(lambda x: 2 * x, [inputs], tf.float32)
        return tf.ensure_shape(outputs, inputs.shape)


@keras.saving.register_keras_serializable("test_export")
class Lacking(keras.layers.Layer):
    def call(self, inputs):
        return tf.math.igamma(1 + tf.abs(inputs), 1 + tf.abs(inputs))


@pytest.mark.parametrize(
    ("layer", "formats", "advice", "unfit"),
    [
        (InPython, ("saved_model",), "instead of NumPy", "register|unroll"),
        (Lacking, ("tflite",), "instead of tf.Igamma", "register|unroll|NumPy"),
        (unregistered, ("keras",), "register_keras", "get_config|NumPy|unroll"),
        (WithNumPy, ("saved_model",), "instead of NumPy", "register|random"),
        (Noisy, ("keras",), "without randomness", "get_config|register"),
        (Noisy, ("saved_model",), "without randomness", "tolerance|NumPy"),
        (Noisy, ("tflite",), "without randomness", "tflite_options"),
    ],
)
def test_advice_fits_the_cause(folder, layer, formats, advice, unfit):
    model = keras.Sequential([keras.Input((3,)), layer()])
    with pytest.raises(ExportError, match=advice) as caught:
        export(model, folder, formats=formats, tflite_options=())
    helps = str(caught.value).split("What may help:")[1]
    assert advice in helps and not re.search(unfit, helps)
    assert "there is no" not in str(caught.value)


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 1)])
def test_a_last_axis_of_length_one_may_be_left_out(folder, shape):
    layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model, x = keras.Sequential([keras.Input((8, 8, 1)), *layers]), rows(*shape)
    report = export(model, folder, data=(x, np.arange(5) % 2), tflite_options=())
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    assert report.accuracy == np.mean(predicted == np.arange(5) % 2)


@pytest.mark.parametrize("labels", [list, lambda y: {"a": y[0], "b": y[1]}])
@pytest.mark.parametrize("data_set", [False, True])
def test_labels_of_several_outputs(folder, labels, data_set):
    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(2)(inputs) for name in ("a", "b")}
    x, y = rows(4, 3), labels([np.arange(4) % 2, np.arange(4) % 3])
    if data_set:
        y = tuple(y) if isinstance(y, list) else y
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    else:
        data = (x, y)
    model = keras.Model(inputs, outputs)
    assert export(model, folder, data=data, formats=("keras",)).accuracy is None
    if not data_set:
        with pytest.raises(ValueError, match="3 rows x and 4 labels"):
            export(model, folder, data=(x[:3], y), formats=("keras",))


def test_states_of_several_cells_begin_at_zero_and_are_kept(folder):
    cells = [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]
    stacked = keras.layers.RNN(cells, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3), name="x"), stacked])
    x = rows(2, 5, 3)
    expected = model(x).numpy()
    states = [state.numpy() for state in keras.tree.flatten(stacked.states)]
    assert any(state.any() for state in states)
    export(model, folder, data=x)
    kept = keras.tree.flatten(stacked.states)
    for state, before in zip(kept, states, strict=True):
        np.testing.assert_array_equal(state.numpy(), before)
    found = run_tflite(folder / "model.tflite", x=x)["output_0"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_the_converters_pages_are_kept_in_a_log(tmp_path):
    """In a process of its own, whose stderr is a pipe as C++ sees it."""
    script = """
import keras, keras_invprune as kip
model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)])
try:
    kip.export(model, "mine", formats=("tflite",))
except kip.ExportError as error:
    print(error)
kip.export(model, "mine", formats=("tflite",), batch_size=1)
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    log = Path(re.search(r"log is in (\S+\.log)\.", run.stdout)[1])
    assert log.parent == tmp_path and "TensorListReserve" in log.read_text()
    assert "TensorList" not in run.stderr and "loc(" not in run.stderr
    assert "XNNPACK" not in run.stderr
    assert [*tmp_path.glob("*.log")] == [log]


def test_an_earlier_export_is_replaced(folder):
    export(tiny_model(), folder, tflite_options=())
    model = tiny_model()
    export(model, folder, formats=("keras",))
    assert {path.name for path in folder.iterdir()} == {"model.keras", "report.json"}
    loaded = keras.saving.load_model(folder / "model.keras")
    expected = model.layers[0].kernel.numpy()
    np.testing.assert_array_equal(loaded.layers[0].kernel.numpy(), expected)


def test_an_empty_folder_is_used_and_parents_are_made(folder):
    folder.mkdir()
    export(tiny_model(), folder, formats=("keras",))
    export(tiny_model(), folder.parent.parent / "a" / "b", formats=("keras",))
    assert (folder.parent.parent / "a" / "b" / "model.keras").exists()


def test_a_refused_export_leaves_no_parents(folder):
    model = keras.Sequential([keras.Input((3,)), unregistered()])
    with pytest.raises(ExportError):
        export(model, folder / "a" / "b")
    assert not folder.exists()


def add_a_file(folder):
    (folder / "notes.txt").write_text("mine")


def add_a_file_inside(folder):
    (folder / "saved_model" / "assets" / "vocabulary.txt").write_text("mine")


def add_a_folder(folder):
    (folder / "mine").mkdir()


def change_a_file(folder):
    (folder / "model.keras").write_text("mine")


def replace_the_report(folder):
    (folder / "report.json").write_text('["mine"]')


def drop_the_report(folder):
    (folder / "report.json").unlink()


@pytest.mark.parametrize(
    "touch",
    [
        add_a_file,
        add_a_file_inside,
        add_a_folder,
        change_a_file,
        replace_the_report,
        drop_the_report,
    ],
)
def test_a_folder_with_anything_else_in_it_is_left_alone(folder, touch):
    export(tiny_model(), folder, formats=("keras", "saved_model"))
    touch(folder)
    before = files_in(folder)
    with pytest.raises(
        FileExistsError, match="(?s)keras_invprune did not write.*choose another folder"
    ):
        export(tiny_model(), folder, formats=("keras",))
    assert files_in(folder) == before


def test_a_file_that_appears_in_the_meantime_is_kept(folder, monkeypatch):
    export(tiny_model(), folder, formats=("keras",))
    convert = converter.convert

    def slow_convert(*arguments):
        add_a_file(folder)
        return convert(*arguments)

    monkeypatch.setattr(converter, "convert", slow_convert)
    with pytest.raises(FileExistsError, match="notes.txt"):
        export(tiny_model(), folder)
    assert set(files_in(folder)) == {"model.keras", "report.json", "notes.txt"}


@pytest.mark.parametrize("name", ["model.keras", "m.h5", "model.tflite"])
def test_a_folder_called_as_a_file_is_refused(folder, name):
    with pytest.raises(ValueError, match=r"must be a folder.*name of a file.*save\("):
        export(tiny_model(), folder.parent / name)


def test_a_path_that_is_a_file(folder):
    folder.write_text("mine")
    with pytest.raises(NotADirectoryError, match="`folder` must be a folder"):
        export(tiny_model(), folder, formats=("keras",))
    with pytest.raises(NotADirectoryError, match="Choose another folder"):
        export(tiny_model(), folder / "below", formats=("keras",))
    assert folder.read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_parent_that_cannot_be_written():
    with pytest.raises(
        OSError,
        match=r"/proc/mine was not written.*Choose another folder",
    ):
        export(tiny_model(), "/proc/mine", formats=("keras",))


def fail(error):
    def raising(*args, **kwargs):
        raise error

    return raising


DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name", "file"),
    [
        (tempfile, "mkdtemp", "keras"),
        (keras.Model, "save", "keras"),
        (
            sys.modules["keras_invprune.exporting.export"],
            "write_saved_model",
            "saved_model",
        ),
        (Path, "write_bytes", "tflite"),
        (Path, "write_text", "keras"),  # the report
        (os, "replace", "keras"),
    ],
)
@pytest.mark.parametrize(
    ("error", "message"),
    [(DISK_FULL, "mine was not written: No space"), (KeyboardInterrupt(), None)],
    ids=["full", "ctrl-C"],
)
def test_an_export_cut_short_leaves_the_earlier_one(
    folder, monkeypatch, owner, name, file, error, message
):
    export(tiny_model(), folder, formats=("keras",))
    before = files_in(folder)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail(error))
        with pytest.raises(type(error), match=message):
            export(tiny_model(), folder, formats=(file,), tflite_options=())
    assert files_in(folder) == before


def test_ctrl_c_between_the_two_renames(folder, monkeypatch):
    export(tiny_model(), folder, formats=("keras",))
    before = files_in(folder)
    replace, calls = os.replace, []

    def second_fails(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_model(), folder, formats=("keras",))
    assert files_in(folder) == before


def test_ctrl_c_in_a_destructor_of_the_converter_is_heard(folder, monkeypatch):
    class Garbage:
        def __del__(self):
            raise KeyboardInterrupt

    def convert(*_):
        Garbage()  # Python drops what is raised in `__del__`
        return b""

    monkeypatch.setattr(converter, "converted", convert)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_model(), folder, formats=("tflite",))
    assert not folder.exists() and not list(folder.parent.iterdir())


# model.keras takes 282 kB, saved_model 275 kB and model.tflite 42 kB.
@pytest.mark.parametrize(
    ("kilobytes", "formats"),
    [
        (100, ("keras",)),
        (100, ("saved_model",)),
        (320, ("saved_model", "tflite")),
        (380, ("keras", "saved_model")),
    ],
)
def test_a_disk_that_is_really_full(tmp_path, kilobytes, formats):
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        export(tiny_model(), disk / "mine", formats=("keras",))
        before = files_in(disk)
        with pytest.raises(
            OSError, match="No space left on device. Make room"
        ) as caught:
            export(dense_model(), disk / "mine", formats=formats)
        assert caught.value.errno == errno.ENOSPC
        assert files_in(disk) == before
        assert [path.name for path in disk.iterdir()] == ["mine"]


def test_it_is_quiet_and_leaves_no_temporary_files(
    folder, tmp_path, monkeypatch, capfd
):
    export(tiny_model(), folder)  # AutoGraph keeps files of what it converts first
    capfd.readouterr()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    export(tiny_model(), folder)
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_the_same_model_can_be_exported_twice(folder):
    model, arguments = tiny_model(), {"formats": ("tflite",), "tflite_options": ()}
    first = export(model, folder, **arguments)
    assert export(model, folder, **arguments) == first


def test_a_relative_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    export(tiny_model(), "mine", formats=("keras",))
    assert (folder / "model.keras").exists()


def test_a_model_under_masks_is_sent_to_strip_pruning(folder):
    model = keras_invprune.prune(tiny_model(), 0.5, select=lambda *_: True)
    with pytest.raises(ValueError, match=r"kip.export\(kip.strip_pruning\(model\)"):
        export(model, folder)


def test_a_tf_keras_model(folder):
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(TypeError, match="must be a Keras 3 model.*Received: tf_keras"):
        export(model, folder)


def test_a_model_that_gives_nan(folder):
    model = tiny_model()
    model.layers[0].bias.assign([np.nan, 0])
    with pytest.raises(ValueError, match="Keras model must be finite.*NaN"):
        export(model, folder)


X = np.zeros((5, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "model.keras"}, TypeError, "Received: builtins.str"),
        ({"model": keras.layers.Dense(2)}, TypeError, "must be a Keras 3 model"),
        (
            {"model": keras.Sequential([keras.layers.Dense(2)])},
            ValueError,
            "no input shape yet. Call it once",
        ),
        ({"model": DictModel()}, ValueError, "no input shape yet. Call it once"),
        ({"formats": ()}, ValueError, "must name some of"),
        ({"formats": "tflite"}, ValueError, "Received: formats='tflite'"),
        ({"formats": ("onnx",)}, ValueError, "Received: formats=\\('onnx',\\)"),
        ({"tflite_options": "sparsity"}, ValueError, "must be a tuple"),
        ({"tflite_options": ("int4",)}, ValueError, "'int4'"),
        ({"tflite_options": ("int8", "float16")}, ValueError, "must not contain both"),
        ({"tolerance": -1}, ValueError, "Received: tolerance=-1"),
        ({"batch_size": 0}, ValueError, "Received: batch_size=0"),
        ({"batch_size": 1.5}, ValueError, "Received: batch_size=1.5"),
        ({"tolerance": np.inf}, ValueError, "finite"),
        ({"data": (X, X, X)}, ValueError, "a tuple of 3"),
        ({"data": (X, [0, 1])}, ValueError, "5 rows x and 2 labels"),
        ({"data": (X, 3)}, ValueError, "5 rows x and y=3"),
        ({"data": X[:0]}, ValueError, "at least one row"),
        ({"data": X + np.nan}, ValueError, "NaN or inf"),
        ({"data": [X, X]}, ValueError, "Received: 2 arrays with"),
        ({"data": {"z": X}}, ValueError, r"must have the keys \['x'\]"),
        ({"data": [[0.0, 1.0, 2.0]]}, ValueError, r"Received: float\. .*np\.array"),
    ],
)
def test_what_does_not_fit_is_named(folder, arguments, error, message):
    usual = {"model": tiny_model()}
    with pytest.raises(error, match=message):
        export(**(usual | {"folder": folder} | arguments))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tflite_options": None}, ValueError, "`tflite_options` must be.*None"),
        ({"formats": 3}, ValueError, "`formats` must name.*formats=3"),
        ({"tolerance": "a"}, ValueError, "`tolerance` must be.*'a'"),
        ({"folder": None}, TypeError, "must be a path.*None"),
        ({"folder": b"x"}, TypeError, "must be a path.*bytes"),
        ({"data": np.ones((4, 3), "complex64")}, ValueError, "real numbers.*complex64"),
        ({"data": tf.ragged.constant([[1.0], [2.0, 3.0]])}, ValueError, "Ragged"),
        (
            {"data": tf.data.Dataset.from_tensors(tf.ragged.constant([[1.0], []]))},
            ValueError,
            "RaggedTensor.*to_tensor",
        ),
    ],
)
def test_arguments_of_another_kind_are_named(folder, arguments, error, message):
    with pytest.raises(error, match=message):
        export(**{"model": tiny_model(), "folder": folder, **arguments})


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    export(tiny_model(), "~/mine", formats=("keras",))
    assert (tmp_path / "mine" / "model.keras").exists()


def test_what_keras_has_quantized_is_named(folder):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.layers[0].quantize("int8")
    with pytest.raises(ExportError, match="before `quantize`.*LiteRT cannot read"):
        export(model, folder, formats=("tflite",))
