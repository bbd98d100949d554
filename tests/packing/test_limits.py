import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_invprune as kip
from keras_invprune.packing import architecture, container, limits
from keras_invprune.packing.container import KERAS, Contents
from keras_invprune.packing.sequential import built_once


def part(kind, module="keras.layers", **config):
    return {
        "module": module,
        "class_name": kind,
        "registered_name": None,
        "config": config,
    }


def sequential(name, *inner, shape=(None, 4)):
    first = part("InputLayer", batch_shape=list(shape), dtype="float32", name="in")
    return part("Sequential", "keras", name=name, layers=[first, *inner])


def relu(name):
    return part("Activation", activation="relu", name=name)


def tensor(name, node=0):
    about = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, node, 0]}
    return {"class_name": "__keras_tensor__", "config": about}


def node(*given):
    return {"args": list(given), "kwargs": {}}


def functional(name, *inner, outputs):
    """A functional config; `inner` are (layer, names of what each call reads)."""
    first = part("InputLayer", batch_shape=[None, 4], dtype="float32", name="in")
    found = [first | {"name": "in", "inbound_nodes": []}]
    for layer, *reads in inner:
        nodes = [node(tensor(*read)) for read in reads]
        found.append(layer | {"name": layer["config"]["name"], "inbound_nodes": nodes})
    ends = {"input_layers": ["in", 0, 0], "output_layers": [*outputs, 0]}
    kind = "keras.src.models.functional"
    return part("Functional", kind, name=name, trainable=True, layers=found, **ends)


def chain(count, backward=False):
    """`count` layers one after the other, listed from the first or the last one."""
    inner = [(relu(f"a{k}"), (f"a{k - 1}" if k else "in", 0)) for k in range(count)]
    outputs = (f"a{count - 1}", 0)
    return functional("chain", *(inner[::-1] if backward else inner), outputs=outputs)


def doubled(depth):
    """Each model calls the one inside twice."""
    model = sequential("m", relu("a"))
    for level in range(depth):
        calls = (model, ("in", 0), ("m", 0))
        model = functional("m", calls, outputs=("m", 1))
        model["config"]["name"] = "m" if level + 1 < depth else "last"
    return model


KNOWN = next(iter(built_once(sequential("m"), None)))


def disguised(depth, **registered):
    """Each model calls the one inside twice, which is said to be an initializer."""
    model = sequential("m", relu("a"))
    for _ in range(depth):
        inner = {"module": "keras.initializers", "class_name": KNOWN} | registered
        inner["config"] = model["config"]
        calls = (inner, ("in", 0), ("m", 0))
        model = sequential("m", functional("f", calls, outputs=("m", 1)))
    return model


def nested(depth):
    model = sequential("m0", relu("a"))
    for level in range(depth):
        model = sequential(f"m{level + 1}", model)
    return model


def on_constants():
    """A layer repeats a number 10**11 times: 400 GB if it were called."""
    layer = part("RepeatVector", n=10**11, name="r")
    model = functional("m", (layer, ("in", 0)), outputs=("r", 0))
    constant = {"class_name": "__numpy__", "config": {"value": [[1]], "dtype": "int8"}}
    model["config"]["layers"][1]["inbound_nodes"] = [node(constant)]
    return model


def orthogonal(units):
    dense = part(
        "Dense",
        units=units,
        use_bias=False,
        name="d",
        kernel_initializer=part("Orthogonal", "keras.initializers", gain=1.0),
    )
    return sequential("m", dense, shape=(None, units))


def file_of(config, arrays=()):
    """A file with a valid checksum."""
    text = json.dumps(config).encode()
    return container.write(Contents(KERAS, text, list(arrays))).content


def unpacked(config, path, arrays=()):
    path.write_bytes(file_of(config, arrays))
    return kip.unpack(path)


def text_of(model):
    return architecture.contents_of(model).text


@pytest.fixture
def calls(monkeypatch):
    """How many calls of layers Keras has made."""
    made, ordinary = [], keras.layers.Activation.compute_output_shape

    def counting(layer, shape):
        made.append(layer.name)
        return ordinary(layer, shape)

    monkeypatch.setattr(keras.layers.Activation, "compute_output_shape", counting)
    return made


@pytest.mark.parametrize("count", [20, 40])
@pytest.mark.parametrize("kind", [chain, None])
def test_each_layer_is_called_once_for_each_of_two_models(kind, count, calls, tmp_path):
    layers = [relu(f"a{k}") for k in range(count)]
    config = kind(count) if kind else sequential("m", *layers)
    model = unpacked(config, tmp_path / "m.kip")
    assert len(calls) == 2 * count
    assert model(np.ones((1, 4))).shape == (1, 4)


def test_a_sequential_is_what_keras_makes_of_it(tmp_path):
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.ReLU()], name="in")
    first = keras.Input((4,), name="given", batch_size=2)
    model = keras.Sequential([first, inner, keras.layers.Dense(2)], name="out")
    kip.pack(model, tmp_path / "m.kip")
    made = kip.unpack(tmp_path / "m.kip")
    again = keras.Sequential.from_config(model.get_config())
    assert text_of(made) == text_of(again) == text_of(model)
    assert type(made) is type(made.layers[0]) is keras.Sequential


@keras.saving.register_keras_serializable("limits")
class Stack(keras.Sequential):
    """Inherits all from Sequential."""


@keras.saving.register_keras_serializable("limits")
class Own(keras.Sequential):
    """Has an argument of its own."""

    def __init__(self, layers=None, name=None, factor=2):
        super().__init__(layers, name=name)
        self.factor = factor

    def get_config(self):
        return super().get_config() | {"factor": self.factor}

    @classmethod
    def from_config(cls, config):
        found = [keras.saving.deserialize_keras_object(c) for c in config["layers"]]
        return cls(found, config["name"], config["factor"])


def test_subclasses_of_sequential_come_back(tmp_path):
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)]
    for model in (Stack(layers), Own(layers, factor=5)):
        kip.pack(model, tmp_path / "m.kip")
        made = kip.unpack(tmp_path / "m.kip")
        assert type(made) is type(model)
        assert getattr(made, "factor", 5) == 5
        assert text_of(made) == text_of(model)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (sequential("m", *(relu(f"a{k}") for k in range(2**13))), "8,193 calls"),
        (chain(2**13), "8,193 calls"),
        (doubled(20), "calls of layers"),
        (disguised(13), "calls of layers"),
        (disguised(13, registered_name=KNOWN), "calls of layers"),
        (nested(40), "nests more than 32"),
        (chain(600, backward=True), "599 of 600 calls come before"),
        (on_constants(), "on constants only"),
        (sequential("m", part("Dense", units=10**9, name="d")), "describes the arrays"),
        (
            sequential("m", part("Dense", units=3, name="d"), shape=(None, 10**12)),
            "describes the arrays|cannot build",
        ),
    ],
)
def test_a_config_of_few_bytes_is_refused(config, message, calls, tmp_path):
    path = tmp_path / "m.kip"
    with pytest.raises(kip.PackError, match=message):
        unpacked(config, path)
    assert len(calls) == 0
    assert path.stat().st_size < 100_000


def test_large_orthogonal_kernels_are_refused():
    def arrays(units):
        bits = np.zeros((units, units), np.uint32)
        return Contents(KERAS, text(units), [architecture.Array("float32", bits)])

    def text(units):
        return json.dumps(orthogonal(units)).encode()

    assert architecture.model_of(arrays(8)).count_params() == 64
    with pytest.raises(kip.PackError, match="multiplications to make orthogonal"):
        architecture.model_of(arrays(6600))


def test_a_config_of_many_bytes_is_refused():
    content = file_of({"a": " " * 2**23})
    assert len(content) < 20_000
    with pytest.raises(kip.PackError, match="The config has .* at most 8,388,608"):
        container.read(content)


def test_no_old_configs_without_modules(tmp_path):
    config = sequential("m", relu("a"))
    del config["config"]["layers"][1]["module"]
    with pytest.raises(kip.PackError, match="'Activation' has no module"):
        unpacked(config, tmp_path / "m.kip")


def test_pack_refuses_what_unpack_refuses(monkeypatch, tmp_path):
    model = keras.Sequential([keras.Input((4,)), *[keras.layers.ReLU() for _ in "ab"]])
    kip.pack(model, tmp_path / "m.kip")
    (tmp_path / "m.kip").unlink()
    monkeypatch.setattr(limits, "MOST_CALLS", 2)
    with pytest.raises(kip.PackError, match="3 calls of layers"):
        kip.pack(model, tmp_path / "m.kip")
    assert list(tmp_path.iterdir()) == []


@st.composite
def models(draw, depth=3):
    """The config of a model of Activations and models, and each call of a layer."""
    inner = []
    for index in range(draw(st.integers(1, 4))):
        layer = relu(f"a{index}")
        if depth and draw(st.booleans()):
            layer = draw(models(depth - 1))
            layer["config"]["name"] = f"a{index}"
        inner.append(layer)
    if draw(st.booleans()):
        return sequential("m", *inner)
    listed, last = [], ("in", 0)
    for layer in inner:
        name, reads = layer["config"]["name"], []
        for again in range(draw(st.integers(1, 3))):
            reads.append(last)
            last = (name, again)
        listed.append((layer, *reads))
    if draw(st.booleans()):
        listed.reverse()
    return functional("m", *listed, outputs=last)


@settings(max_examples=40, deadline=None)
@given(config=models())
def test_no_model_makes_more_calls_than_were_counted(config):
    made, ordinary = [], keras.layers.Layer.__call__

    def counting(layer, *given, **options):
        made.append(layer.name)
        return ordinary(layer, *given, **options)

    text = json.dumps(config).encode()
    counted = limits._calls(config, 0)[1]
    keras.layers.Layer.__call__ = counting
    try:
        architecture.model_of(Contents(KERAS, text, []))
    finally:
        keras.layers.Layer.__call__ = ordinary
    assert 0 < len(made) <= 2 * counted


def test_slices_are_no_calls():
    given = keras.Input((4, 4))
    model = keras.Model(given, given[:, :2, ..., 1:])
    config = json.loads(text_of(model))
    assert limits._calls(config, 0)[1] == 2  # the input and one operation
