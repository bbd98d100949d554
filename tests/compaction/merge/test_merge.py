"""Merging: exact where it says so, refused where it is not."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
import zoo
from keras_invprune.compaction.merge import (
    MergeError,
    NeverNegative,
    Nonnegative,
    Slope,
    engine,
    merge_layers,
)
from keras_invprune.runtimes import RUNTIMES

G = np.random.default_rng(0)


def positive(*shape):
    return np.abs(G.normal(size=shape)).astype("float32")


def make_positive(layer):
    layer.set_weights([np.abs(w) + 0.01 for w in layer.get_weights()])


def mlp(units=(6, 5, 4), activation="relu", names="abcdefgh", out=3):
    hidden = [
        layers.Dense(n, activation, name=name, bias_initializer="random_normal")
        for n, name in zip(units, names, strict=False)
    ]
    return keras.Sequential(
        [keras.Input((5,)), *hidden, layers.Dense(out, name="out")], name="net"
    )


def outputs(model, x):
    return np.asarray(model(x, training=False))


def check_same(model, merged, x):
    expected = outputs(model, x)
    size = np.abs(expected).max()
    np.testing.assert_allclose(outputs(merged.model, x), expected, atol=1e-5 * size)


def names(model):
    return [layer.name for layer in model.layers]


def test_sums_that_almost_cancel_are_not_taken_for_other_outputs():
    """In some rows, rounding is a large share of them."""
    hidden = [nonnegative(64, name, activation="relu", use_bias=False) for name in "ab"]
    out = layers.Dense(1, use_bias=False, name="out")
    model = keras.Sequential([keras.Input((16,)), *hidden, out])
    kernels = [layer.kernel.numpy() for layer in hidden]
    sums = (kernels[0] @ kernels[1]).sum(0)
    signs = G.normal(size=64)
    out.kernel.assign((signs - sums * (sums @ signs) / (sums @ sums))[:, None])
    x = positive(2000, 16)
    left, right = (x[(outputs(model, x) > 0)[:, 0] == side] for side in (True, False))
    left, right = left[:100], right[:100]
    weights = [np.abs(outputs(model, part)) for part in (right, left)]
    few = weights[0] * left + weights[1] * right * (1 + 1e-4)
    merged = merge_layers(model, nonnegative_inputs=True, data=np.concatenate([x, few]))
    assert merged.depth == (3, 1) and merged.error > 1e-5


HALF = ["float16", "mixed_float16", "bfloat16", "mixed_bfloat16"]


@pytest.mark.parametrize("policy", HALF)
def test_sums_that_cancel_in_half_precision_are_not_taken_for_others(policy):
    hidden = [nonnegative(64, name, activation="relu", dtype=policy) for name in "ab"]
    signs = np.array([1.0, -1.0] * 32)[:, None]
    out = layers.Dense(1, dtype=policy)
    model = keras.Sequential([keras.Input((16,)), *hidden, out])
    out.kernel.assign(signs)
    x = positive(200, 16)
    assert merge_layers(model, nonnegative_inputs=True, data=x).depth == (3, 1)


# What decides


class Chosen:
    """A runtime whose milliseconds follow from the names of layers."""

    def __init__(self, milliseconds):
        self.of_names, self.measured = milliseconds, 0

    def milliseconds(self, models):
        self.measured += len(models)
        return [self.of_names(names(model)) for model in models]


@pytest.fixture
def chosen(monkeypatch):
    def register(milliseconds):
        monkeypatch.setitem(RUNTIMES, "chosen", Chosen(milliseconds))
        return RUNTIMES["chosen"]

    return register


def three_to_merge(kind="sequential"):
    model = mlp((6, 6, 6))
    for name in "bc":
        make_positive(model.get_layer(name))
    if kind == "functional":
        return keras.Model(model.inputs[0], model.outputs[0])
    return model


def test_merges_that_are_faster_are_done_with_their_milliseconds(chosen):
    runtime = chosen(lambda names: len(names) / 2)
    merged = merge_layers(three_to_merge(), runtime="chosen")
    times = [merge.milliseconds for merge in merged.merges]
    assert times == [(2.0, 1.5), (1.5, 1.0)] and runtime.measured == 4
    assert merged.to_json()["merges"][0]["milliseconds"] == (2.0, 1.5)
    assert "parameters, 2 -> 1.5 ms" in str(merged)
    assert merge_layers(three_to_merge()).merges[0].milliseconds is None


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_a_merge_that_is_slower_is_undone_and_others_go_on(chosen, kind):
    runtime = chosen(lambda names: 1.0 if "b" in names else 1.5)
    model = three_to_merge(kind)
    merged = merge_layers(model, runtime="chosen")
    assert [merge.layer for merge in merged.merges] == ["c"]
    assert [name for name in names(merged.model) if name in "abc"] == ["a", "b"]
    reasons = {kept.layer: kept.reason for kept in merged.kept}
    slower = "it would be slower: 1 -> 1.5 ms in chosen"
    assert reasons["b"] == f"merged into 'out', {slower}"  # and so into 'c', before
    assert runtime.measured == 6
    check_same(model, merged, G.normal(size=(20, 5)))


@pytest.mark.parametrize("times, done", [(1.04, 2), (1.06, 0)])
def test_differences_of_a_few_percent_are_noise(chosen, times, done):
    chosen(lambda names: times ** -len(names))
    assert len(merge_layers(three_to_merge(), runtime="chosen").merges) == done


def test_what_is_larger_is_not_measured(chosen):
    runtime = chosen(lambda names: 1.0)
    model = mlp((6, 1, 6))
    make_positive(model.get_layer("b"))
    merged = merge_layers(model, runtime="chosen")
    assert "it would be larger" in merged.kept[1].reason and not runtime.measured


def test_litert_measures_each_merge(monkeypatch):
    monkeypatch.setattr("keras_invprune.exporting.timing.ROUNDS", 1)
    model = mlp((6, 6))
    make_positive(model.get_layer("b"))
    merged = merge_layers(model, runtime="litert-cpu")
    if merged.merges:
        assert all(time > 0 for time in merged.merges[0].milliseconds)
    else:
        assert "ms in litert-cpu" in merged.kept[1].reason


def test_a_runtime_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="Did you mean 'litert-cpu'"):
        merge_layers(mlp(), runtime="litert")


def test_litert_measures_inputs_of_known_lengths_only():
    parts = [layers.Dense(4), layers.Dense(4), layers.GlobalAveragePooling1D()]
    model = keras.Sequential([keras.Input((None, 4)), *parts])
    with pytest.raises(ValueError, match="of a known shape.*or count MACs"):
        merge_layers(model, runtime="litert-cpu")


# Certificate 1


def test_two_dense_layers_by_hand():
    model = mlp((2, 2))
    model.get_layer("b").set_weights([np.array([[1.0, 2], [3, 0]]), np.array([1.0, 2])])
    model.get_layer("out").set_weights(
        [np.array([[1.0, -1, 0], [0, 2, 1]]), np.array([0.5, 0, 0])]
    )
    merged = merge_layers(model)
    kernel, bias = merged.model.get_layer("out").get_weights()
    np.testing.assert_allclose(kernel, [[1, 3, 2], [3, -3, 0]])  # W_b W_out
    np.testing.assert_allclose(bias, [1.5, 3, 2])  # b_b W_out + b_out
    assert names(merged.model) == ["a", "out"] and names(model) == ["a", "b", "out"]
    check_same(model, merged, G.normal(size=(50, 5)))


def test_what_the_result_says():
    model = mlp((6, 6))
    make_positive(model.get_layer("b"))
    merged = merge_layers(model)
    (merge,) = merged.merges
    assert (merge.layer, merge.into, merge.certificate) == ("b", "out", "nonnegative")
    assert merge.gone == ("b",)
    assert merge.parameters == (42 + 21, 21) and merge.macs == (36 + 18, 18)
    assert merged.depth == (3, 2) and merged.exact and merged.error < 1e-5
    assert merged.parameters == (36 + 42 + 21, 36 + 21)
    assert [kept.layer for kept in merged.kept] == ["a", "out"]
    assert "input may be negative" in merged.kept[0].reason
    assert "output of the model" in merged.kept[1].reason
    found = json.loads(json.dumps(merged.to_json()))
    assert found["merges"][0]["into"] == "out" and found["depth"] == [3, 2]
    assert "b -> out (nonnegative): 63 -> 21 parameters" in str(merged)
    with pytest.raises(AttributeError):
        merged.error = 0.0


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu"])
@pytest.mark.parametrize("declared", [False, True])
def test_random_nonnegative_layers_collapse(activation, declared):
    """The paper's identity, with biases: exact if and only if the input is >= 0."""
    model = mlp((6,) * 6, activation, out=5)
    for layer in model.layers[:-1]:
        make_positive(layer)
    merged = merge_layers(model, nonnegative_inputs=declared)
    kept = 0 if declared else (1 if activation == "relu" else 6)
    assert len(merged.model.layers) == kept + 1
    x = positive(50, 5) if declared else G.normal(size=(50, 5))
    check_same(model, merged, x)


@pytest.mark.parametrize("weight", ["kernel", "bias"])
def test_one_negative_entry_keeps_a_layer(weight):
    model = mlp()
    make_positive(model.get_layer("b"))
    variable = getattr(model.get_layer("b"), weight)
    value = variable.numpy()
    value.flat[0] = -1e-6
    variable.assign(value)
    merged = merge_layers(model)
    assert not merged.merges
    assert f"its {weight} has a negative entry" in merged.kept[1].reason


def test_activations_that_change_positive_values_keep_a_layer():
    for activation in ("tanh", "sigmoid", "relu6", "gelu", "selu"):
        model = mlp((5, 5), activation)
        make_positive(model.get_layer("b"))
        assert not merge_layers(model).merges, activation


def test_a_merge_that_makes_it_larger_is_not_done():
    model = mlp((50, 2), out=50)
    make_positive(model.get_layer("b"))
    merged = merge_layers(model)
    assert not merged.merges
    assert "larger: 252 -> 2,550 parameters, 200 -> 2,500 MACs" in merged.kept[1].reason


def test_linear_layers_need_no_certificate():
    model = mlp((6, 5), "linear")
    merged = merge_layers(model, [])
    assert names(merged.model) == ["out"]
    assert [merge.certificate for merge in merged.merges] == ["linear", "linear"]
    check_same(model, merged, G.normal(size=(50, 5)))
    one, two = (layers.Activation("linear") for _ in range(2))
    parts = [layers.Dense(3, one), two, layers.Dense(2)]
    merged = merge_layers(keras.Sequential([keras.Input((5,)), *parts]), [])
    assert merged.depth == (2, 1) and len(merged.model.layers) == 1


# Graphs


def functional(build):
    x = keras.Input((5,), name="x")
    return keras.Model(x, build(x), name="net")


def nonnegative(units, name, **options):
    return layers.Dense(
        units,
        name=name,
        kernel_initializer=keras.initializers.RandomUniform(0, 1),
        bias_initializer=keras.initializers.RandomUniform(0, 1),
        **options,
    )


def test_a_residual_branch_merges_inside_and_stops_at_the_addition():
    def build(x):
        x = layers.Dense(6, "relu", name="stem")(x)
        y = nonnegative(6, "one", activation="relu")(x)
        y = nonnegative(6, "two")(y)
        y = layers.ReLU(name="relu")(layers.Add(name="add")([x, y]))
        return layers.Dense(2, name="out")(y)

    model = functional(build)
    merged = merge_layers(model)
    assert [(m.layer, m.into) for m in merged.merges] == [("one", "two")]
    reasons = {kept.layer: kept.reason for kept in merged.kept}
    assert reasons["two"] == "'add' reads other tensors as well"
    assert reasons["stem"] == "the output of 'stem' is read 2 times"
    check_same(model, merged, G.normal(size=(50, 5)))


def test_layers_inside_inner_models_and_wrappers_stay_and_are_named():
    inner = mlp(names=("one", "two", "three"), out=4)
    each = layers.TimeDistributed(nonnegative(3, "each"), name="times")

    def build(x):
        return each(layers.Reshape((2, 2))(inner(x)))

    merged = merge_layers(functional(build))
    assert not merged.merges
    reasons = {kept.layer: kept.reason for kept in merged.kept}
    of_inner = dict.fromkeys(("one", "two", "three", "out"), "it lies inside 'net'")
    assert reasons == of_inner | {"each": "it lies inside 'times'"}


def test_normalization_is_folded_before_signs_are_read():
    def build(x):
        x = layers.Dense(6, "relu", name="stem")(x)
        x = layers.Dense(6, name="one", kernel_initializer="random_uniform")(x)
        x = layers.BatchNormalization(name="norm")(x)
        x = layers.Dropout(0.5, name="drop")(layers.ReLU(name="relu")(x))
        return layers.Dense(2, name="out")(x)

    model = functional(build)
    kernel = -positive(6, 6)
    model.get_layer("one").set_weights([kernel, np.zeros(6)])
    gamma, beta = -positive(6), 1 + positive(6)  # -γ: the kernel's signs turn
    model.get_layer("norm").set_weights([gamma, beta, np.zeros(6), positive(6)])
    merged = merge_layers(model)
    (merge,) = merged.merges
    assert merge.gone == ("one", "norm", "relu", "drop")
    assert names(merged.model) == ["x", "stem", "out"]
    check_same(model, merged, G.normal(size=(50, 5)))


def test_what_lies_between_stops_it():
    blocked = {
        "is called 2 times": lambda x: (lambda d: d(d(x)))(nonnegative(5, "one")),
        "lies between": lambda x: nonnegative(2, "out")(
            layers.LayerNormalization()(nonnegative(5, "one")(x))
        ),
        "is an operation": lambda x: nonnegative(2, "out")(
            keras.ops.sqrt(nonnegative(5, "one")(x))
        ),
        "is always in training mode": lambda x: nonnegative(2, "out")(
            layers.Dropout(0.5)(nonnegative(5, "one")(x), training=True)
        ),
        "has an activity regularizer": lambda x: nonnegative(2, "out")(
            nonnegative(5, "one", activity_regularizer="l2")(x)
        ),
        "normalizes after an activation": lambda x: nonnegative(2, "out")(
            layers.BatchNormalization()(nonnegative(5, "one", activation="relu")(x))
        ),
    }
    for reason, build in blocked.items():
        merged = merge_layers(functional(build), nonnegative_inputs=True)
        assert not merged.merges, reason
        assert reason in merged.kept[0].reason


@pytest.mark.filterwarnings("ignore:.*destroy the mask")
def test_a_layer_that_ends_a_mask_stays():
    x = keras.Input((6,), dtype="int32")
    y = layers.Conv1D(3, 1, name="one")(layers.Embedding(5, 3, mask_zero=True)(x))
    y = layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(y))
    merged = merge_layers(keras.Model(x, y))
    assert merged.kept[0].reason == "'one' reads a mask, and passes none on"


def test_several_inputs_are_declared_by_name():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    y = layers.Concatenate()(
        [
            nonnegative(3, "a_two")(nonnegative(3, "a_one", activation="relu")(a)),
            nonnegative(3, "b_two")(nonnegative(3, "b_one", activation="relu")(b)),
        ]
    )
    model = keras.Model({"a": a, "b": b}, {"y": y})
    merged = merge_layers(model, nonnegative_inputs=["b"])
    assert [merge.layer for merge in merged.merges] == ["b_one"]
    x = {"a": G.normal(size=(9, 3)), "b": positive(9, 3)}
    np.testing.assert_allclose(merged.model(x)["y"], model(x)["y"], rtol=1e-5)
    with pytest.raises(ValueError, match="nonnegative_inputs=\\['c'\\]"):
        merge_layers(model, nonnegative_inputs=["c"])


# Convolutions


def convnet(first, second, shape=(9, 9, 2), rank=2, between=(), bias=True):
    conv = getattr(layers, f"Conv{rank}D")
    parts = [
        conv(3, name="one", activation="relu", use_bias=bias, **first),
        *between,
        conv(4, name="two", **second),
    ]
    model = keras.Sequential([keras.Input(shape), *parts])
    make_positive(model.get_layer("one"))
    two = model.get_layer("two")
    two.set_weights([G.normal(size=w.shape) for w in two.get_weights()])
    return model


@pytest.mark.parametrize(
    ("first", "second", "settings"),
    [
        # k = k₁ + (k₂ - 1)·s₁
        ({"kernel_size": 3}, {"kernel_size": 2}, ((4, 4), (1, 1), "valid")),
        (
            {"kernel_size": 3, "strides": 2},
            {"kernel_size": 2, "strides": 2},
            ((5, 5), (4, 4), "valid"),
        ),
        ({"kernel_size": (3, 1)}, {"kernel_size": (1, 2)}, ((3, 2), (1, 1), "valid")),
        (
            {"kernel_size": 3, "strides": 2, "padding": "same"},
            {"kernel_size": 1},
            ((3, 3), (2, 2), "same"),
        ),
        (
            {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
            {"kernel_size": 1},
            ((3, 3), (1, 1), "same"),
        ),
        (
            {"kernel_size": 1},
            {"kernel_size": 3, "strides": 2},
            ((3, 3), (2, 2), "valid"),
        ),
    ],
)
def test_two_convolutions_become_one(monkeypatch, first, second, settings):
    monkeypatch.setattr(engine, "_parameters", lambda link, made: (1, 1))
    monkeypatch.setattr(engine, "_macs", lambda link, made: (1, 1))
    model = convnet(first, second)
    merged = merge_layers(model, nonnegative_inputs=True)
    (made,) = merged.model.layers
    assert (made.kernel_size, made.strides, made.padding) == settings
    check_same(model, merged, positive(6, 9, 9, 2))


@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks(monkeypatch, rank):
    monkeypatch.setattr(engine, "_parameters", lambda link, made: (1, 1))
    monkeypatch.setattr(engine, "_macs", lambda link, made: (1, 1))
    size = {"kernel_size": 2, "strides": 2}
    model = convnet(size, {"kernel_size": 2}, (*(7,) * rank, 2), rank)
    merged = merge_layers(model, nonnegative_inputs=True)
    assert merged.depth == (2, 1)
    check_same(model, merged, positive(3, *(7,) * rank, 2))


def test_padding_is_exact_without_a_bias():
    same = {"kernel_size": 3, "padding": "same"}
    merged = merge_layers(
        convnet({"kernel_size": 1}, same, bias=False), nonnegative_inputs=True
    )
    assert merged.depth == (2, 1)
    with_bias = convnet({"kernel_size": 1}, same)
    kept = merge_layers(with_bias, nonnegative_inputs=True).kept[0]
    assert kept.reason == "'two' pads with zeros where this layer has its bias"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (
            {"kernel_size": 3, "padding": "same"},
            {"kernel_size": 3, "padding": "same"},
            "differ at borders",
        ),
        ({"kernel_size": 3, "dilation_rate": 2}, {"kernel_size": 3}, "dilated"),
        ({"kernel_size": 3}, {"kernel_size": 3}, "it would be larger"),
    ],
)
def test_convolutions_that_stay(first, second, reason):
    merged = merge_layers(convnet(first, second), nonnegative_inputs=True)
    assert not merged.merges and reason in merged.kept[0].reason


def test_positions_are_flattened_after_the_merge():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            layers.Conv2D(3, 1, activation="relu", name="one"),
            layers.SpatialDropout2D(0.1, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="out"),
        ]
    )
    make_positive(model.get_layer("one"))
    merged = merge_layers(model, nonnegative_inputs=True)
    assert names(merged.model) == ["flat", "out"]
    check_same(model, merged, positive(6, 4, 4, 3))


def test_an_average_of_positions_is_taken_after_the_merge():
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Dense(3, "relu", name="one"),
            layers.GlobalAveragePooling1D(name="mean"),
            layers.Dense(2, name="out"),
        ]
    )
    make_positive(model.get_layer("one"))
    merged = merge_layers(model, nonnegative_inputs=True)
    assert names(merged.model) == ["mean", "out"]
    check_same(model, merged, positive(6, 11, 3))


# Certificates 2 and 3


def prelu():
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, name="one"),
            layers.PReLU(name="slope"),
            layers.Dense(4, name="out"),
        ]
    )


def test_slopes_of_one_fold_a_layer():
    model = prelu()
    model.get_layer("slope").alpha.assign(np.ones(6))
    merged = merge_layers(model)
    assert merged.merges[0].certificate == "slope"
    assert merged.merges[0].gone == ("one", "slope")
    check_same(model, merged, G.normal(size=(50, 5)))
    model.get_layer("slope").alpha.assign(np.array([1, 1, 1, 0.999, 1, 1]))
    kept = merge_layers(model).kept[0]
    assert "nonnegative: its input may be negative; slope: 1 slopes are not 1" == (
        kept.reason
    )


def test_a_leaky_relu_of_slope_one_is_no_activation():
    for slope, gone in ((1.0, ["one"]), (0.5, [])):
        leaky = layers.LeakyReLU(negative_slope=slope)
        parts = [layers.Dense(6, name="one"), leaky, layers.Dense(4)]
        model = keras.Sequential([keras.Input((5,)), *parts])
        assert [merge.layer for merge in merge_layers(model).merges] == gone


def test_each_activation_of_a_chain_needs_a_certificate():
    model = keras.Sequential(
        [
            keras.Input((5,)),
            nonnegative(6, "one"),
            layers.PReLU(alpha_initializer="ones", name="slope"),
            layers.ReLU(name="relu"),
            layers.Dense(4, name="out"),
        ]
    )
    merged = merge_layers(model, nonnegative_inputs=True)
    assert merged.merges[0].certificate == "nonnegative"
    assert len(merge_layers(model, "slope").merges) == 0
    merged = merge_layers(model, ["slope", "nonnegative"], nonnegative_inputs=True)
    assert merged.merges[0].certificate == "slope, nonnegative"


def test_data_certify_what_signs_cannot():
    model = mlp((6, 6))
    kernel = positive(6, 6)
    kernel[0, 0] = -0.01
    model.get_layer("b").set_weights([kernel, positive(6) + 1])
    x = G.normal(size=(200, 5)).astype("float32")
    assert not merge_layers(model).merges
    merged = merge_layers(model, NeverNegative(x))
    assert merged.merges[0].certificate == "never negative on data"
    assert not merged.exact and merged.error < 1e-5
    check_same(model, merged, x)


def test_data_that_are_negative_keep_a_layer_unless_they_are_tolerated():
    model = mlp((6, 6))
    x = G.normal(size=(200, 5)).astype("float32")
    hidden = np.maximum(x @ model.layers[0].kernel + model.layers[0].bias, 0)
    layer = model.get_layer("b")
    shift = -np.quantile(hidden @ layer.kernel, 0.05, axis=0)
    layer.bias.assign(shift)
    kept = {k.layer: k.reason for k in merge_layers(model, NeverNegative(x)).kept}
    negative = (hidden @ layer.kernel + shift < 0).mean()
    assert f"{negative:.2%} of its values on the data" in kept["b"]
    merged = merge_layers(model, NeverNegative(x, tolerance=1.0))
    far = np.abs(outputs(merged.model, x) - outputs(model, x))
    size = np.abs(outputs(model, x)).max(axis=1, keepdims=True)
    assert merged.error == pytest.approx((far / size).max(), rel=1e-3)
    assert not merged.exact


def loaded(certificate):
    config = keras.saving.serialize_keras_object(certificate)
    return keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))


@pytest.mark.parametrize("certificate", [Nonnegative(), Slope()])
def test_certificates_come_back_from_their_configs(certificate):
    assert type(loaded(certificate)) is type(certificate)


@pytest.mark.parametrize(
    "data",
    [
        np.ones((2, 3), "float32"),
        [np.ones((2, 3)), np.zeros((2, 1), "int32")],
        {"a": np.ones((2, 3)), "b": np.zeros((2, 1), "int32")},
    ],
)
def test_rows_come_back_from_the_config(data):
    again = loaded(NeverNegative(data, 0.1))
    assert again.tolerance == 0.1
    keras.tree.assert_same_structure(again.data, data)
    pairs = zip(keras.tree.flatten(again.data), keras.tree.flatten(data), strict=True)
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


# The model that comes back


def test_it_is_plain_saves_trains_and_leaves_the_original(tmp_path):
    model = mlp((6,) * 4)
    for layer in model.layers[1:-1]:
        make_positive(layer)
    before = [w.copy() for w in model.get_weights()]
    merged = merge_layers(model).model
    assert type(merged) is keras.Sequential and not merged.compiled
    assert not {id(w) for w in merged.weights} & {id(w) for w in model.weights}
    x, y = G.normal(size=(32, 5)), G.normal(size=(32, 3))
    merged.compile("sgd", "mse")
    merged.fit(x, y, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    merged.save(tmp_path / "merged.keras")
    again = keras.models.load_model(tmp_path / "merged.keras")
    np.testing.assert_array_equal(outputs(again, x), outputs(merged, x))
    assert names(model) == ["a", "b", "c", "d", "out"]


def test_it_is_idempotent():
    model = mlp((6,) * 4)
    for layer in model.layers[1:-1]:
        make_positive(layer)
    once = merge_layers(model)
    assert len(once.merges) == 3
    assert not merge_layers(once.model).merges


def test_mixed_precision_and_trainability_stay():
    model = mlp((6, 6))
    model.get_layer("out").dtype_policy = "mixed_bfloat16"
    make_positive(model.get_layer("b"))
    model.get_layer("out").trainable = False
    merged = merge_layers(model).model
    assert merged.get_layer("out").dtype_policy.name == "mixed_bfloat16"
    assert not merged.get_layer("out").trainable and merged.get_layer("a").trainable


def test_functions_and_classes_of_ones_own_need_no_registration():
    class Own(keras.regularizers.Regularizer):
        def __call__(self, x):
            return keras.ops.sum(x)

        def get_config(self):
            return {}

    def doubled(x):
        return 2 * x

    for activation in (doubled, lambda x: x + 1, layers.LeakyReLU(0.3)):
        settings = {"kernel_regularizer": Own(), "bias_constraint": Anything()}
        hidden = nonnegative(6, "a", activation="relu", **settings)
        parts = [hidden, layers.Dense(3, activation, name="b", **settings)]
        model = keras.Sequential([keras.Input((5,)), *parts, layers.Activation("tanh")])
        x = positive(9, 5)
        merged = merge_layers(model, [NeverNegative(x)])
        assert names(merged.model) == ["b", model.layers[-1].name]
        check_same(model, merged, x)
        assert isinstance(merged.model.layers[0].kernel.regularizer, Own)


class Anything(keras.constraints.Constraint):
    def __call__(self, w):
        return w


def test_what_was_set_on_the_weights_stays():
    model = mlp((6, 6))
    make_positive(model.get_layer("b"))
    out = model.get_layer("out")
    out.kernel.trainable = False
    out.bias.regularizer = keras.regularizers.L2(0.1)
    out.kernel.constraint = keras.constraints.MaxNorm(1e3)
    found = merge_layers(model).model.get_layer("out")
    assert not found.kernel.trainable and found.bias.trainable
    assert found.bias.regularizer.l2 == pytest.approx(0.1)
    assert found.kernel.constraint.max_value == 1e3


@pytest.mark.parametrize("weight", ["kernel", "bias"])
def test_a_product_that_its_constraint_would_undo_is_not_made(weight):
    linear = layers.Dense(5, name="a", bias_initializer=keras.initializers.Constant(-9))
    limits = {f"{weight}_constraint": keras.constraints.NonNeg()}
    model = keras.Sequential([keras.Input((5,)), linear, nonnegative(3, "b", **limits)])
    (kept,) = [kept for kept in merge_layers(model).kept if kept.layer == "a"]
    expected = f"the {weight} of 'b' has a constraint, NonNeg, that the product breaks"
    assert kept.reason == expected
    make_positive(linear)
    assert merge_layers(model).depth == (2, 1)


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_what_belongs_to_the_model_itself_stays(kind):
    x = keras.Input((5,), sparse=True, name="rows")
    parts = [nonnegative(5, "one"), nonnegative(2, "two")]
    model = keras.Sequential([x, *parts])
    if kind == "functional":
        model = keras.Model({"rows": x}, {"out": parts[1](parts[0](x))}, name="net")
    model.trainable = False
    model.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    merged = merge_layers(model).model
    assert len(merged.layers) == len(model.layers) - 1
    assert merged.name == model.name and merged.inputs[0].sparse
    assert not merged.trainable and merged.dtype_policy.name == "mixed_bfloat16"
    if kind == "functional":
        assert merged.input.keys() == {"rows"} and merged.output.keys() == {"out"}


def test_a_class_stays_unless_its_constructor_makes_other_layers():
    class Trained(keras.Model):
        def train_step(self, data):
            return {"loss": 0.0}

    class Own(keras.Sequential):
        def __init__(self):
            parts = [nonnegative(3, "one"), nonnegative(2, "two")]
            super().__init__([keras.Input((5,)), *parts])

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

    x = keras.Input((5,))
    trained = Trained(x, nonnegative(2, "two")(nonnegative(3, "one")(x)))
    trained.options = {"own": 3.0}  # set by its user, so it is in no config
    for model, kind in ((trained, Trained), (Own(), keras.Sequential)):
        merged = merge_layers(model)
        assert merged.depth == (2, 1) and type(merged.model) is kind
        assert (kind is Trained) == (vars(merged.model).get("options") == {"own": 3.0})


# Bad input


def with_nan(dtype="float32"):
    layer = layers.Dense(2, dtype=dtype, name="b")
    model = keras.Sequential([keras.Input((5,)), layer])
    model.get_layer("b").bias.assign([np.nan, 0])
    return model


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: kip.prune(mlp(), 0.5), ValueError, "strip_pruning"),
        (lambda: keras.Sequential([layers.Dense(2)]), ValueError, "not built"),
        (lambda: zoo.subclassed().model, ValueError, "a `call` of its own. Build"),
        (with_nan, ValueError, "NaN or infinity in .*b/bias"),
        (lambda: with_nan("bfloat16"), ValueError, "NaN or infinity in .*b/bias"),
        (lambda: 3, TypeError, "Keras 3 model"),
    ],
)
def test_what_it_refuses(model, error, message):
    with pytest.raises(error, match=message):
        merge_layers(model())


def test_a_layer_that_cannot_be_made_again_is_named_with_a_way_out():
    class Scaled(layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return self.factor * x

    model = keras.Sequential([keras.Input((5,)), Scaled(2.0), layers.Dense(2)])
    with pytest.raises(ValueError, match="constructor. Keras reports: .*Scaled"):
        merge_layers(model)


@pytest.mark.parametrize(
    ("certificates", "error", "message"),
    [
        ("nonegative", ValueError, "Did you mean 'nonnegative'"),
        ([0.1], TypeError, "must be a name .* or a Certificate. Received: 0.1"),
    ],
)
def test_certificates_are_checked(certificates, error, message):
    with pytest.raises(error, match=message):
        merge_layers(mlp(), certificates)


def test_a_certificate_by_data_needs_rows():
    with pytest.raises(ValueError, match="at least one row.*0 rows"):
        merge_layers(mlp(), [NeverNegative(np.zeros((0, 5)))])


@pytest.fixture
def wrong(monkeypatch):
    """Let merging return another model."""
    merged = engine._merged

    def other(model, choices):
        made, done, kept = merged(model, choices)
        made.layers[-1].bias.assign(made.layers[-1].bias + 1.0)
        return made, done, kept

    monkeypatch.setattr(engine, "_merged", other)


@pytest.mark.usefixtures("wrong")
def test_a_difference_raises():
    model = mlp((6, 6))
    make_positive(model.get_layer("b"))
    x = G.normal(size=(9, 5)).astype("float32")
    for data in (None, x):
        with pytest.raises(
            MergeError, match=r"of their size; rounding explains \de-05"
        ):
            merge_layers(model, data=data)


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize("policy", HALF)
def test_a_difference_raises_in_half_precision(policy):
    layer = layers.Dense(3, kernel_initializer="identity", dtype=policy)
    model = keras.Sequential([keras.Input((3,)), nonnegative(3, "one"), layer])
    with pytest.raises(MergeError, match="of their size"):
        merge_layers(model)


@pytest.mark.usefixtures("wrong")
def test_a_difference_raises_although_some_outputs_are_infinite():
    model = mlp((6, 6), "exponential")  # e^1000 is infinite
    with pytest.raises(MergeError, match="of their size"):
        merge_layers(model)


def test_comparing_changes_no_state_of_the_model():
    class Counting(layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight(dtype="int32", trainable=False, name="calls")

        def call(self, x):
            self.calls.assign_add(1)
            return x

    model = keras.Sequential([keras.Input((5,)), Counting(), nonnegative(3, "one")])
    model.layers[0].calls.assign(0)
    merge_layers(model, data=np.ones((3, 5)))
    assert int(model.layers[0].calls) == 0


def test_strings_may_be_inputs():
    words = layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")
    x = keras.Input((4,), dtype="string")
    model = keras.Model(x, layers.Dense(2)(nonnegative(3, "one")(words(x))))
    assert merge_layers(model).depth == (2, 1)


def picky():
    @keras.saving.register_keras_serializable(package="tests")
    class Picky(layers.Layer):
        def call(self, x):
            if float(keras.ops.max(x)) != 0.125:
                raise ValueError("picky")
            return x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape)

    hidden = nonnegative(3, "one")
    return keras.Sequential([keras.Input((3,)), Picky(), hidden, layers.Dense(2)])


def test_a_model_that_takes_no_drawn_input_needs_rows():
    model = picky()
    with pytest.raises(MergeError, match="rejects all drawn inputs.*as `data`"):
        merge_layers(model)


def test_outputs_that_nearly_cancel_may_round():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, "relu", name="one"),
            layers.Dense(4, "relu", name="two"),
            layers.Dense(1, name="out"),
        ]
    )
    make_positive(model.get_layer("two"))
    out = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    two = model.get_layer("two").get_weights()[0]
    two[:, 2:] = two[:, :2] * (1 + 1e-4)  # a difference in the fifth digit
    model.get_layer("two").set_weights([two, np.zeros(4)])
    model.get_layer("out").set_weights([out, np.zeros(1)])
    assert merge_layers(model).depth == (3, 2)


def test_channels_first_are_not_flattened_as_channels_last():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            nonnegative(3, "one"),
            layers.Flatten(data_format="channels_first", name="flat"),
            layers.Dense(2, name="out"),
        ]
    )
    assert merge_layers(model).kept[0].reason == "'flat' reads channels first"
