"""Models as packed files, and back."""

import errno
import json
import os
import resource
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
import zoo
from disks import small_disk
from keras_invprune.graph.weights import kernels, weights_by_key
from keras_invprune.packing import architecture, container
from keras_invprune.packing.dictionary import DICTIONARY
from keras_invprune.packing.quantize import as_half, on_grid
from packed_format import decoder

ROOT = Path(__file__).resolve().parents[2]
TFLITE = ROOT / "saved_models" / "digits" / "model.tflite"


def network(units=40):
    """A network with BatchNorm and nine tenths of zeros in its first kernel."""
    body = [layers.Dense(units, "relu"), layers.BatchNormalization(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((30,)), *body], name="network")
    kernel, random = model.layers[0].kernel, np.random.default_rng(0)
    kernel.assign(kernel * (random.random(kernel.shape) < 0.1))  # -0.0 among them
    model.layers[0].bias.assign(random.normal(size=units))
    model.layers[1].moving_variance.assign(np.geomspace(1e-9, 9, units))
    return model


def values(model):
    return {key: w.variable.numpy() for key, w in weights_by_key(model).items()}


def assert_same_weights(model, other):
    before, after = values(model), values(other)
    assert list(before) == list(after)
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        np.testing.assert_array_equal(value, after[key])


@pytest.mark.parametrize("name", [n for n in zoo.CASES if n not in zoo.NOT_LOADED])
def test_every_kind_of_model_comes_back(name, tmp_path):
    case = zoo.CASES[name]()
    kip.pack(case.model, tmp_path / "m.kip")
    model = kip.unpack(tmp_path / "m.kip")
    assert_same_weights(case.model, model)
    found, expected = (
        keras.tree.flatten(each.predict_on_batch(case.x))
        for each in (model, case.model)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A network, its file, and what was said of it."""
    model, file = network(), tmp_path_factory.mktemp("packed") / "new" / "m.kip"
    return model, file, kip.pack(model, file)


def test_the_figures_are_those_of_the_file(packed):
    model, file, found = packed
    assert found.bytes == file.stat().st_size
    assert [path.name for path in file.parent.iterdir()] == ["m.kip"]
    assert found.raw_bytes == sum(value.nbytes for value in values(model).values())
    assert [array["key"] for array in found.arrays] == list(values(model))
    for array, value in zip(found.arrays, values(model).values(), strict=True):
        assert tuple(array["shape"]) == value.shape
        assert array["nonzeros"] == np.count_nonzero(value)
    assert found.ratio == found.raw_bytes / found.bytes
    assert found.bits is None and found.max_abs_error == 0.0
    written = json.loads(json.dumps(found.to_json()))
    assert written == found.to_json()
    assert written["schema"] == "keras_invprune/pack/1"
    assert written["over_entropy"] == found.bytes / found.entropy_bytes


def test_the_documented_decoder_reads_it_without_keras(packed):
    model, file, _ = packed
    kind, text, arrays = decoder()["decode"](file.read_bytes())
    assert (kind, text) == (0, None)
    for bits, value in zip(arrays, values(model).values(), strict=True):
        np.testing.assert_array_equal(bits.view(value.dtype), value)


def test_the_same_model_makes_the_same_file(packed, tmp_path):
    model, file, _ = packed
    kip.pack(kip.unpack(file), tmp_path / "again.kip")
    assert (tmp_path / "again.kip").read_bytes() == file.read_bytes()
    assert model.layers[0].kernel.numpy().any()


def test_what_adapt_has_learned_is_used(tmp_path):
    normalization = layers.Normalization()
    normalization.adapt(np.arange(12.0).reshape(4, 3))
    model = keras.Sequential([keras.Input((3,)), normalization])
    kip.pack(model, tmp_path / "m.kip")
    x = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(kip.unpack(tmp_path / "m.kip")(x), model(x))


@keras.saving.register_keras_serializable("packing")
class WithScale(keras.Model):
    """A network with a weight of its own next to its graph."""

    def __init__(self):
        inputs = keras.Input((3,))
        super().__init__(inputs, layers.Dense(2)(inputs))
        self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale")

    def call(self, x):
        return super().call(x) * self.scale

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


def test_weights_next_to_a_graph_come_back(tmp_path):
    model = WithScale()
    model.scale.assign([2.0, 3.0])
    kip.pack(model, tmp_path / "m.kip")
    made = kip.unpack(tmp_path / "m.kip")
    np.testing.assert_array_equal(made.scale.numpy(), [2.0, 3.0])


@keras.saving.register_keras_serializable("packing")
class OfPolicy(keras.Model):
    """A model whose layer has the dtype that is the default when it is made."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def test_the_default_dtype_holds_while_shapes_are_compared(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        model = OfPolicy()
        model(np.ones((1, 3)))
        kip.pack(model, tmp_path / "m.kip")
        assert_same_weights(model, kip.unpack(tmp_path / "m.kip"))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.dense.kernel.dtype == "float16"


def test_a_small_network_has_a_small_header(tmp_path):
    body = [layers.Flatten(), *(layers.Dense(9) for _ in range(3))]
    model = keras.Sequential([keras.Input((28, 28, 1)), *body])
    found = kip.pack(model, tmp_path / "m.kip")
    assert found.text_bytes < 120 < len(json.dumps(model.get_config())) / 10


# Quantized


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_kernels_have_few_levels_and_zeros_stay(bits, packed, tmp_path):
    model, _, exact = packed
    before = values(model)
    found = kip.pack(model, tmp_path / "m.kip", bits=bits)
    small = kip.unpack(tmp_path / "m.kip")
    assert found.bits == bits and found.bytes < exact.bytes
    assert 0 < found.relative_error < {2: 2, 4: 0.5, 8: 0.05}[bits]
    of_kernels, after = kernels(weights_by_key(small)), values(small)
    for key, value in before.items():
        assert not after[key][value == 0].any()
        if key in of_kernels:
            assert len(np.unique(np.abs(after[key]))) <= 2 ** (bits - 1)
        elif key.endswith("bias"):
            np.testing.assert_allclose(after[key], value, atol=np.abs(value).max() / 99)
        else:
            np.testing.assert_allclose(after[key], value, rtol=2**-10)
    assert_same_weights(model, packed[0])  # the given model is unchanged
    for key, value in values(model).items():
        np.testing.assert_array_equal(value, before[key])


def test_outputs_and_accuracy_are_compared_on_the_given_rows(packed, tmp_path):
    model = packed[0]
    x = np.random.default_rng(0).normal(size=(300, 30)).astype("float32")
    outputs = model.predict(x, verbose=0)
    y = outputs.argmax(axis=1)
    found = kip.pack(model, tmp_path / "m.kip", bits=3, data=(x, y))
    again = kip.unpack(tmp_path / "m.kip").predict(x, verbose=0)
    far = np.abs(again - outputs)[:256].max()
    assert found.max_abs_error == pytest.approx(far, rel=1e-3)
    share = far / np.abs(outputs[:256]).max()
    assert found.relative_error == pytest.approx(share, rel=1e-3)
    assert found.accuracy_before == 1.0
    assert found.accuracy == np.mean(again.argmax(axis=1) == y)


def test_too_large_a_difference_leaves_the_old_file(packed, tmp_path):
    model, file = packed[0], tmp_path / "m.kip"
    kip.pack(model, file, bits=8)
    before = file.read_bytes()
    with pytest.raises(kip.PackError, match="off by .* and 0.001 is allowed. Nothing"):
        kip.pack(model, file, bits=2, tolerance=1e-3)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_the_grid_is_the_best_of_many():
    given = np.random.default_rng(0).normal(size=3000).astype("float32")
    given[::3] = 0
    found = on_grid(given, 3)
    error = np.sum(np.square(found - given))
    levels = np.unique(found)
    np.testing.assert_allclose(np.diff(levels), levels[-1] / 3, rtol=1e-5)
    for share in np.linspace(0.3, 1, 15):
        step = np.abs(given).max() * share / 3
        other = step * np.clip(np.rint(given / step), -3, 3)
        assert error <= np.sum(np.square(other - given)) * 1.001


@pytest.mark.parametrize(
    "values", [[0.0, 0.0], [], [1e-45, 0.0], [3e38, -3e38, 1.0]], ids=str
)
def test_grids_of_any_floats_are_finite(values):
    found = on_grid(np.array(values, "float32"), 4)
    assert found.dtype == np.float32 and np.isfinite(found).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_no_grid_has_infinities(value):
    given = np.array([value, 1.0, 0.3], "float32")
    np.testing.assert_array_equal(on_grid(given, 4), given)


def test_what_float16_cannot_hold_stays():
    for given in ([1e-9, 1.0], [1e9, 1.0]):
        given = np.array(given, "float32")
        np.testing.assert_array_equal(as_half(given), given)
    assert as_half(np.array([1.0001], "float32")) == 1.0


# .tflite


def test_a_tflite_file_comes_back_byte_by_byte(tmp_path):
    found = kip.pack(TFLITE, tmp_path / "m.kip")
    assert kip.unpack(tmp_path / "m.kip") == TFLITE.read_bytes()
    assert found.kind == "tflite" and found.bytes < 0.75 * len(TFLITE.read_bytes())
    assert len(found.arrays) > 5  # kernels, biases, and indices of sparse kernels


def test_the_documented_decoder_restores_a_tflite_file(tmp_path):
    kip.pack(TFLITE, tmp_path / "m.kip")
    page, content = decoder(), (tmp_path / "m.kip").read_bytes()
    kind, *parts = page["decode"](content, DICTIONARY)
    assert (kind, page["tflite"](*parts)) == (1, TFLITE.read_bytes())


@pytest.mark.slow
def test_a_dense_and_a_quantized_tflite_file_come_back(tmp_path):
    kip.export(
        network(64), tmp_path / "e", formats=("tflite",), tflite_options=("int8",)
    )
    file = tmp_path / "e" / "model.tflite"
    kip.pack(str(file), tmp_path / "m.kip")
    assert kip.unpack(tmp_path / "m.kip") == file.read_bytes()


@pytest.mark.slow
def test_the_unpacked_model_makes_the_same_tflite_file(tmp_path):
    pruned = kip.prune(network(16), 0.8)
    pruned.prune_to(0.8)
    model = kip.strip_pruning(pruned)
    assert not any(np.signbit(v[v == 0]).any() for v in values(model).values())
    kip.pack(model, tmp_path / "m.kip")
    for name, each in (("a", model), ("b", kip.unpack(tmp_path / "m.kip"))):
        options = {"formats": ("tflite",), "tflite_options": ()}
        kip.export(each, tmp_path / name, **options)
    one, other = (tmp_path / name / "model.tflite" for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_what_is_no_tflite_file_is_refused(tmp_path):
    for content in (b"no flatbuffer at all", bytes(99), TFLITE.read_bytes()[1:]):
        (tmp_path / "m.tflite").write_bytes(content)
        with pytest.raises(kip.PackError, match="not a .tflite file"):
            kip.pack(tmp_path / "m.tflite", tmp_path / "m.kip")
    (tmp_path / "m.tflite").write_bytes(TFLITE.read_bytes()[:99])
    with pytest.raises(kip.PackError, match="is damaged.*make it again"):
        kip.pack(tmp_path / "m.tflite", tmp_path / "m.kip")
    with pytest.raises(kip.PackError, match="A .keras file is loaded first"):
        kip.pack(ROOT / "saved_models" / "digits" / "model.keras", tmp_path / "m.kip")
    with pytest.raises(FileNotFoundError, match="no file"):
        kip.pack(tmp_path / "none.tflite", tmp_path / "m.kip")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": 9}, ValueError, "from 2 to 8, or None"),
        ({"bits": True}, ValueError, "bits=True"),
        ({"bits": 4, "tolerance": -1}, ValueError, "at least 0"),
        ({"data": np.ones((2, 30))}, ValueError, "nothing is quantized"),
        ({"bits": 4, "data": np.ones((2, 9))}, ValueError, "."),
    ],
)
def test_bad_options_write_nothing(options, error, message, packed, tmp_path):
    with pytest.raises(error, match=message):
        kip.pack(packed[0], tmp_path / "m.kip", **options)
    assert list(tmp_path.iterdir()) == []


def test_bad_models_and_names_write_nothing(packed, tmp_path):
    model, file = packed[0], tmp_path / "m.kip"
    cases = [
        (kip.prune(model, 0.5), file, ValueError, "strip_pruning"),
        (5, file, TypeError, "Received: builtins.int"),
        (keras.Sequential([layers.Dense(2)]), file, ValueError, "not built"),
        (model, tmp_path / "m.keras", ValueError, "must end in .kip"),
        (model, "gs://bucket/m.kip", ValueError, "scheme"),
        (TFLITE, file, ValueError, "packed as it is"),
    ]
    for given, name, error, message in cases:
        options = {"bits": 4} if given == TFLITE else {}
        with pytest.raises(error, match=message):
            kip.pack(given, name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_is_not_replaced(packed, tmp_path):
    file = tmp_path / "m.kip"
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="is not a packed file"):
        kip.pack(packed[0], file)
    assert file.read_text() == "mine"


def test_a_full_disk_keeps_the_old_file(packed, tmp_path):
    with small_disk(tmp_path / "disk", 12) as disk:
        kip.pack(packed[0], disk / "m.kip", bits=2)
        before = (disk / "m.kip").read_bytes()
        with pytest.raises(OSError, match="Make room") as caught:
            kip.pack(network(3000), disk / "m.kip")
        assert caught.value.errno == errno.ENOSPC
        assert [path.name for path in disk.iterdir()] == ["m.kip"]
        assert (disk / "m.kip").read_bytes() == before


def test_a_folder_that_cannot_be_written(packed, tmp_path, monkeypatch):
    def refuse(path, content):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    text = r"m.kip was not written: Read-only file system\. Choose another folder"
    with pytest.raises(OSError, match=text):
        kip.pack(packed[0], tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []


class Unregistered(layers.Layer):
    """A layer that no file may name."""


# Keras leaves out the module of what is defined in a script.
Main = type("Main", (Unregistered,), {"__module__": "__main__"})


@keras.saving.register_keras_serializable("packing")
class Unbuildable(layers.Layer):
    def __init__(self, times):
        super().__init__()
        self.times = times


def test_lambdas_and_unregistered_layers_are_refused(tmp_path):
    for layer, message in (
        (layers.Lambda(lambda x: 2 * x), "instead of the lambda\\.$"),
        (Unregistered(), "Unregistered, which is not registered"),
        (Main(), "Could not locate class 'Main'.*register_keras_serializable"),
        (Unbuildable(2), "a `get_config` that returns the arguments of the layer's"),
    ):
        model = keras.Sequential([keras.Input((3,)), layer])
        with pytest.raises(kip.PackError, match=message):
            kip.pack(model, tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable("packing")
class Forgetful(layers.Layer):
    """Multiplies by what its config does not have."""

    def __init__(self, factor=1, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config() | {"factor": 1}


@keras.saving.register_keras_serializable("packing")
class Repeating(Forgetful):
    """Has another shape of outputs."""

    def call(self, x):
        return keras.ops.tile(x, (1, self.factor))


@keras.saving.register_keras_serializable("packing")
class NotLoading(layers.Dense):
    """Saves its weights, but does not load them."""

    def load_own_variables(self, store):
        assert store


def test_layers_that_do_not_come_back_are_refused(tmp_path):
    for layer, message in (
        (Forgetful(3), "different outputs.*Layer 'forgetful.*get_config"),
        (Repeating(3), "different outputs.*Layer 'repeating"),
        (NotLoading(3), "different weights.*load_own_variables"),
    ):
        model = keras.Sequential([keras.Input((3,)), layer])
        with pytest.raises(kip.PackError, match=message):
            kip.pack(model, tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_two_models_share_is_refused(tmp_path):
    model = zoo.CASES["shared_by_nested_models"]().model
    with pytest.raises(kip.PackError, match="or two models share a layer"):
        kip.pack(model, tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []


def test_a_layer_in_a_scope_is_known(packed, tmp_path):
    model = keras.Sequential([keras.Input((3,)), Unregistered()])
    with keras.saving.custom_object_scope({"Unregistered": Unregistered}):
        kip.pack(model, tmp_path / "m.kip")
        made = kip.unpack(tmp_path / "m.kip")
    assert type(made.layers[0]) is Unregistered
    with pytest.raises(kip.PackError, match="is not registered"):
        kip.unpack(tmp_path / "m.kip")


def test_words_in_a_file_of_their_own_are_refused(tmp_path):
    known, adapted = layers.StringLookup(vocabulary=["a", "b"]), layers.StringLookup()
    adapted.adapt(["a", "b"])
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, known(inputs))
    kip.pack(model, tmp_path / "m.kip")
    words = np.array(["b", "c"])
    found = kip.unpack(tmp_path / "m.kip")(words)
    np.testing.assert_array_equal(found, model(words))
    with pytest.raises(kip.PackError, match="saves vocabulary.txt.*constructor"):
        kip.pack(keras.Model(inputs, adapted(inputs)), tmp_path / "m.kip")


def test_what_cannot_be_unpacked(packed, tmp_path):
    file = tmp_path / "m.kip"
    with pytest.raises(FileNotFoundError, match="no file"):
        kip.unpack(file)
    with pytest.raises(ValueError, match="positive number of bytes"):
        kip.unpack(packed[1], limit=0)
    with pytest.raises(kip.PackError, match="at most 1,000 are read"):
        kip.unpack(packed[1], limit=1000)
    with open(file, "wb") as large:
        large.truncate(2**21)
    with pytest.raises(kip.PackError, match="has 2,097,152 bytes, and at most 999 are"):
        kip.unpack(file, limit=999)
    file.write_bytes(packed[1].read_bytes()[:-40])
    with pytest.raises(kip.PackError, match="truncated or damaged"):
        kip.unpack(file)


def with_config(change):
    """The contents of a network whose config says something else."""
    contents = architecture.contents_of(network(4))
    return contents._replace(text=change(contents.text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"[1, 2]", "not that of a model"),
        (lambda text: b"{", "is not JSON"),
        (lambda text: b"[" * 10**5, "is not JSON"),
        (lambda text: b'{"a":' * 900 + b"1" + b"}" * 900, "."),
        (lambda text: b'{"class_name": "Dense", "module": "keras"}', "."),
        (lambda text: text.replace(b'"keras.layers"', b'"os"', 1), "os.InputLayer"),
        (lambda text: text.replace(b'"units":3', b'"units":2'), "describes the arrays"),
        (lambda text: text.replace(b'"float32"', b'"float16"'), "describes the arrays"),
    ],
)
def test_a_config_that_is_not_the_file_s_is_refused(change, message):
    with pytest.raises(kip.PackError, match=message):
        architecture.model_of(with_config(change))


def custom_loss(y, found):
    return keras.ops.mean(found - y)


def test_no_model_inside_of_another_one_stays_compiled(tmp_path):
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    inner.compile("adam", custom_loss)
    model = keras.Sequential([keras.Input((3,)), inner])
    kip.pack(model, tmp_path / "m.kip")
    made = kip.unpack(tmp_path / "m.kip")
    assert not made.compiled and not made.layers[0].compiled
    contents = architecture.contents_of(model)
    config = json.loads(contents.text)
    config["compile_config"] = {"optimizer": "adam", "loss": "mse"}
    text = json.dumps(config).encode()
    assert not architecture.model_of(contents._replace(text=text)).compiled


def test_states_are_refused_before_they_take_memory(tmp_path):
    given = keras.Input(batch_shape=(2, 3, 4))
    inner = layers.Bidirectional(layers.GRU(5, stateful=True))
    model = keras.Model(given, inner(given))
    with pytest.raises(kip.PackError, match="a stateful GRU.*stateful=False"):
        kip.pack(model, tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []
    contents = architecture.contents_of(model)
    text = contents.text.replace(b"[2,3,4]", b"[%d,3,4]" % 10**9)  # states of 20 GB
    for true in (b"true", b"1", b'"x"'):
        changed = text.replace(b'"stateful":true', b'"stateful":' + true)
        with pytest.raises(kip.PackError, match="a stateful GRU"):
            architecture.model_of(contents._replace(text=changed))


def test_a_config_of_a_huge_layer_takes_no_memory():
    units = b'"units":%d' % (3 * 10**8)  # 4.8 GB
    changed = with_config(lambda text: text.replace(b'"units":3', units))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(kip.PackError, match="describes the arrays.*300000000"):
        architecture.model_of(changed)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert kilobytes < 10**6
    made = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    assert made.layers[0].kernel.numpy().shape == (3, 2)  # Keras is as before


def test_mutations_of_a_model_s_file_are_refused_or_loaded(packed):
    content, random = packed[1].read_bytes()[:-4], np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        found = bytearray(content)
        for at in random.integers(len(content), size=2):
            found[at] ^= 1 << int(random.integers(8))
        found += zlib.crc32(found).to_bytes(4, "little")
        try:
            architecture.model_of(container.read(bytes(found), 2**20))
        except kip.PackError:
            refused += 1
    assert refused > 10
