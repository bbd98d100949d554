"""Keys, and which weights may be pruned."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
import zoo
from keras_invprune.graph.prunable import head_layers, prunable_weights
from keras_invprune.graph.weights import is_graph, kernels, walk, weights_by_key

NOT_MASKED = ("bias", "gamma", "beta", "table")


@pytest.fixture(params=zoo.CASES)
def model(request):
    return zoo.CASES[request.param]().model


def heads(model):
    return [layer.name for layer in head_layers(model)]


def test_each_weight_has_one_key(model):
    found = [weight.variable for weight in weights_by_key(model).values()]
    assert {id(v) for v in found} == {id(v) for v in model.weights}
    assert len(found) == len(model.weights)


def test_each_weight_is_with_the_innermost_layer_that_holds_it(model):
    for key, (layer, variable) in weights_by_key(model).items():
        assert any(v is variable for v in layer.weights)
        path, _, name = key.rpartition("/")
        assert name == variable.name and dict(walk(model))[path] is layer


def test_no_candidate_is_a_bias_or_unknown(model):
    keys = prunable_weights(model, lambda *_: True)
    assert keys and not any(key.endswith(NOT_MASKED) for key in keys)


@pytest.mark.parametrize(
    "name, keys",
    [
        ("dense", ["dense/kernel"]),
        ("conv_2d", ["conv2d/kernel", "conv2d_1/kernel"]),
        ("separable_conv_2d", ["separable_conv2d/pointwise_kernel"]),
        ("lstm", ["lstm/cell/kernel", "lstm/cell/recurrent_kernel"]),
        (
            "bidirectional",
            [
                f"bidirectional/{direction}_layer/cell/{kernel}kernel"
                for direction in ("forward", "backward")
                for kernel in ("", "recurrent_")
            ],
        ),
        (
            "attention",
            [
                f"multi_head_attention/{part}_dense/kernel"
                for part in ("query", "key", "value", "output")
            ],
        ),
        ("time_distributed", ["time_distributed/layer/kernel"]),
        ("unknown_layer", ["dense/kernel"]),
        ("without_shapes", ["each/layer/dense/kernel"]),
        ("nested_with_one_name", ["first/same/kernel", "second/same/kernel"]),
        ("shared_layer", ["shared/kernel"]),
        ("several_outputs", ["body/kernel"]),
        ("subclassed", ["first/kernel", "blocks_0_0/kernel", "blocks_1_0/kernel"]),
    ],
)
def test_the_default_is_every_kernel_but_the_heads(name, keys):
    keras.backend.clear_session(free_memory=False)
    assert sorted(prunable_weights(zoo.CASES[name]().model)) == sorted(keys)


def test_a_layer_shared_by_inner_models_is_named_once():
    model = zoo.CASES["shared_by_nested_models"]().model
    keys = [key for key in weights_by_key(model) if "shared" in key]
    assert keys == ["left/shared/kernel", "left/shared/bias"]


def test_keys_do_not_depend_on_what_was_made_before():
    def keys():
        model = keras.Sequential(
            [keras.Input((3,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")]
        )
        return list(weights_by_key(model))

    assert keys() == keys() == ["a/kernel", "a/bias", "b/kernel", "b/bias"]


def test_weights_of_one_name_in_one_layer_are_told_apart():
    class Pair(layers.Layer):
        def build(self, input_shape):
            self.weights_of = [
                self.add_weight(shape=(2, 2), name="kernel") for _ in range(3)
            ]

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((2,)), Pair(name="pair")])
    assert list(weights_by_key(model)) == [
        "pair/kernel",
        "pair/kernel'",
        "pair/kernel''",
    ]


def test_walk_visits_each_layer_once(model):
    visited = [id(layer) for _, layer in walk(model)]
    assert len(visited) == len(set(visited))
    paths = [path for path, _ in walk(model)]
    assert len(paths) == len(set(paths))


# Heads


def two_outputs(first, second):
    inputs = keras.Input((4,))
    x = layers.Dense(5, name="body")(inputs)
    return keras.Model(inputs, [first(x), second(x)])


def test_the_heads_of_several_outputs_are_found_behind_activations():
    def softmax(x):
        return layers.Softmax()(layers.Reshape((3,))(layers.Dense(3, name="left")(x)))

    model = two_outputs(softmax, layers.Dense(1, name="right"))
    assert heads(model) == ["left", "right"]


def test_the_heads_of_several_outputs_are_found_in_inner_models():
    def inner(x):
        stack = [layers.Dense(4, name="deep"), layers.Dense(2, name="top")]
        return keras.Sequential([keras.Input((5,)), *stack], name="inner")(x)

    model = two_outputs(inner, layers.Dense(1, name="right"))
    assert heads(model) == ["top", "right"]
    assert list(prunable_weights(model)) == ["body/kernel", "inner/deep/kernel"]


def test_an_output_without_a_dense_layer_has_no_head():
    model = two_outputs(lambda x: x, lambda x: keras.ops.relu(x) + x)
    assert heads(model) == ["body"]  # the first output is its
    model = two_outputs(lambda x: keras.ops.relu(x) + x, lambda x: x + 1.0 + x)
    assert heads(model) == []


def test_a_last_layer_that_is_not_dense_may_be_pruned():
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3)])
    assert heads(model) == []
    assert list(prunable_weights(model)) == [f"{model.layers[0].name}/kernel"]


def test_a_sequential_without_shapes_is_no_graph():
    model = zoo.without_shapes().model
    assert not is_graph(model) and heads(model) == ["head"]
    assert [path for path, _ in walk(model)][:2] == ["", "each"]


@pytest.mark.parametrize(
    "layer",
    [
        layers.PReLU(),
        layers.LayerNormalization(axis=(1, 2)),
        layers.Normalization(axis=(1, 2)),
    ],
)
def test_what_multiplies_number_by_number_is_no_kernel(layer):
    model = keras.Sequential([keras.Input((5, 3)), layer, layers.Dense(2, name="top")])
    assert layer.weights[0].shape[-2:] == (5, 3)
    assert list(kernels(weights_by_key(model))) == ["top/kernel"]


# Selecting


@pytest.fixture
def nested():
    return zoo.CASES["nested_with_one_name"]().model


def test_select_takes_keys_and_paths(nested):
    assert list(prunable_weights(nested, "first")) == ["first/same/kernel"]
    assert list(prunable_weights(nested, ["second/same/kernel", "head"])) == [
        "second/same/kernel",
        "head/kernel",
    ]


def test_select_takes_a_callable_of_key_and_layer(nested):
    found = prunable_weights(nested, lambda key, layer: layer.units == zoo.CLASSES)
    assert list(found) == ["head/kernel"]


@pytest.mark.parametrize("name", ["frst", "same", "first/same/bias", ""])
def test_select_refuses_a_name_that_fits_nothing(nested, name):
    with pytest.raises(ValueError, match="matches none.*first/same/kernel"):
        prunable_weights(nested, ["head", name])


@pytest.mark.parametrize("select", [[], lambda key, layer: False])
def test_selecting_nothing_is_refused(nested, select):
    with pytest.raises(ValueError, match="nothing to prune.*first/same/kernel"):
        prunable_weights(nested, select)


def test_a_model_of_a_head_alone_is_refused_with_the_way_out():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="only")])
    with pytest.raises(ValueError, match="only/kernel.*stays dense.*select="):
        kip.prune(model, 0.5)
    assert list(kip.prune(model, 0.5, select="only").masks) == ["only/kernel"]


def test_frozen_weights_are_not_pruned(nested):
    nested.get_layer("first").trainable = False
    assert list(prunable_weights(nested)) == ["second/same/kernel"]


@pytest.mark.parametrize("built_by", ["call", "build"])
def test_the_head_of_a_subclassed_model_is_what_it_calls_last(built_by):
    class HeadFirst(keras.Model):
        def __init__(self):
            super().__init__()
            self.logits = keras.layers.Dense(2, activity_regularizer="l2")
            self.body = keras.layers.Dense(5)

        def call(self, inputs):
            return self.logits(self.body(inputs))

        def build(self, input_shape):
            self.body.build(input_shape)
            self.logits.build((None, 5))

    model = HeadFirst()
    if built_by == "call":
        model(np.zeros((1, 4)))
    else:
        model.build((None, 4))
    regularizer = model.logits.activity_regularizer
    assert list(prunable_weights(model)) == ["body/kernel"]
    assert model.logits.activity_regularizer is regularizer


def test_all_heads_of_an_inner_model_with_several_outputs_stay_dense():
    x = keras.Input((8,))
    hidden = keras.layers.Dense(8, name="hidden")(x)
    heads = [keras.layers.Dense(n, name=f"head_{n}")(hidden) for n in (3, 2)]
    inner = keras.Model(x, heads, name="inner")
    outer = keras.Input((8,))
    model = keras.Model(outer, list(inner(outer)))
    assert list(prunable_weights(model)) == ["inner/hidden/kernel"]


class TwoHeads(keras.Model):
    """Subclassed, with two outputs."""

    def __init__(self):
        super().__init__()
        self.one, self.two = keras.layers.Dense(3), keras.layers.Dense(2)
        self.hidden = keras.layers.Dense(8)

    def call(self, x):
        hidden = self.hidden(x)
        return {"one": self.one(hidden), "two": self.two(hidden)}


def test_all_heads_of_a_subclassed_model_stay_dense():
    model = TwoHeads()
    model(np.zeros((1, 4)))
    assert list(prunable_weights(model)) == ["hidden/kernel"]


def test_heads_that_share_an_activation_are_all_heads():
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, name="body")(inputs)
    softmax = layers.Softmax()
    outputs = [softmax(layers.Dense(n, name=f"out_{n}")(hidden)) for n in (2, 3)]
    model = keras.Model(inputs, outputs)
    assert heads(model) == ["out_2", "out_3"]
    assert list(prunable_weights(model)) == ["body/kernel"]


def test_an_input_that_an_output_does_not_depend_on_is_passed_by():
    inputs = [keras.Input((4,), name=name) for name in ("a", "b")]
    first = layers.Activation("relu")(layers.Dense(2, name="first")(inputs[0]))
    model = keras.Model(inputs, [first, layers.Dense(2, name="second")(inputs[1])])
    assert heads(model) == ["first", "second"]


def dense(change):
    body = [keras.layers.Dense(4, name="body"), keras.layers.Dense(2, name="top")]
    model = keras.Sequential([keras.Input((3,)), *body])
    change(model)
    return model


def freeze(model):
    model.get_layer("body").trainable = False


def adapt(model):
    model.get_layer("body").enable_lora(1)


@pytest.mark.parametrize("select", [None, ["body"], "body/kernel"])
@pytest.mark.parametrize(("change", "why"), [(freeze, "frozen"), (adapt, "LoRA")])
def test_why_there_is_nothing_to_prune(change, why, select):
    with pytest.raises(ValueError, match=f"'body/kernel' is [^;]*{why}"):
        prunable_weights(dense(change), select)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`")
def test_quantized_kernels_are_named_as_such():
    model = dense(lambda model: model.quantize("int8"))
    with pytest.raises(ValueError, match="'body/kernel' is quantized to int8"):
        prunable_weights(model)


FIXED = {
    "frozen": lambda top: setattr(top, "trainable", False),
    "LoRA": lambda top: top.enable_lora(1),
    "quantized": lambda top: top.quantize("int8"),
}


@pytest.mark.parametrize("subclassed", [False, True])
@pytest.mark.parametrize("change", FIXED)
def test_a_head_that_is_not_trained_is_the_head_all_the_same(change, subclassed):
    model = dense(lambda model: FIXED[change](model.get_layer("top")))
    body = model.get_layer("body").kernel
    if subclassed:
        model = Around(model.layers)
        model(np.zeros((1, 3)))
    assert heads(model) == ["top"]
    assert [v.path for v in prunable_weights(model).values()] == [body.path]


class Around(keras.Model):
    """Subclassed, calls the given layers."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Tied(keras.layers.Layer):
    """Multiplies by the transpose of another layer's kernel."""

    def __init__(self, kernel, **options):
        super().__init__(**options)
        self.kernel = kernel

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.kernel))


def test_a_variable_that_two_layers_hold_has_one_key():
    inputs = keras.Input((6,))
    encode = keras.layers.Dense(8, name="encode")
    hidden = encode(inputs)
    outputs = keras.layers.Dense(3, name="head")(Tied(encode.kernel)(hidden))
    model = keras.Model(inputs, outputs)
    keys = ["encode/kernel", "encode/bias", "head/kernel", "head/bias"]
    assert list(weights_by_key(model)) == keys


@pytest.mark.parametrize("select", [3, [3], ["dense", None]])
def test_what_is_selected_has_names(select):
    with pytest.raises(TypeError, match="`select` must be.*Received: select="):
        prunable_weights(zoo.dense().model, select)


ROWS = np.zeros((2, 4), "float32")
TAKING = {
    "active_layers": kip.active_layers,
    "compact": kip.compact,
    "compaction.plan": kip.compaction.plan,
    "estimate_savings": kip.estimate_savings,
    "export": lambda model: kip.export(model, "files"),
    "merge_layers": kip.merge_layers,
    "neural_tangent_transfer": lambda m: kip.neural_tangent_transfer(m, ROWS, 0.5),
    "prune": lambda model: kip.prune(model, 0.5),
    "prune_for_invariance": kip.prune_for_invariance,
    "report": kip.report,
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model.keras", r"builtins\.str\. Load it first: `keras\.saving\.load_model"),
        (Path("model.keras"), r"Path\. Load it first"),
        (layers.Dense(2), r"Dense\. Put a single layer into `keras\.Sequential`\.$"),
        (len, r"builtin_function_or_method\.$"),
    ],
    ids=["str", "path", "layer", "function"],
)
def test_what_is_not_a_model_is_refused_with_a_way_out(take, given, message):
    with pytest.raises(TypeError, match=f"must be a Keras 3 model.*{message}"):
        take(given)


def with_a_pruned_part():
    part = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="wide")])
    pruned = kip.prune(part, 0.5, select=["wide"], schedule="manual")
    pruned.prune_to(0.5)
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(pruned(inputs))), pruned.name


@pytest.mark.parametrize(
    "call",
    [
        lambda model, folder: kip.prune(model, 0.5),
        lambda model, folder: kip.prune_for_invariance(model, 0.5),
        lambda model, folder: kip.compact(model),
        lambda model, folder: kip.merge_layers(model),
        lambda model, folder: kip.allocation.Budget(macs=0.5).measure(model),
        lambda model, folder: kip.export(model, folder / "files"),
        lambda model, folder: kip.pack(model, folder / "file.kip"),
        lambda model, folder: kip.report(model),
        lambda model, folder: kip.estimate_savings(model),
    ],
)
def test_masks_inside_a_model_are_named_by_all_that_take_plain_models(call, tmp_path):
    model, name = with_a_pruned_part()
    with pytest.raises(ValueError, match=f"masks in '{name}'.*for that part"):
        call(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
