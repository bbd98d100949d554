"""Graphs: merges, shared layers, inner models, several inputs and outputs."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_invprune as kip
import zoo
from compactions import assert_same_outputs, compacted, drawn, outputs, sparse
from keras_invprune.compaction import CompactionError, plan


def zero(layer, inputs=(), units=(), bias=None):
    """Zero rows and columns of a kernel, and set the units' biases."""
    kernel = layer.kernel.numpy()
    kernel[..., list(inputs), :] = 0
    kernel[..., list(units)] = 0
    layer.kernel.assign(kernel)
    if bias is not None:
        values = layer.bias.numpy()
        values[list(units)] = bias
        layer.bias.assign(values)


def residual(merge=None):
    x = inputs = keras.Input((4,))
    x = layers.Dense(5, "relu", name="stem")(x)
    y = layers.Dense(6, "relu", name="inner")(x)
    y = layers.Dense(5, name="branch")(y)
    x = (merge or layers.Add())([x, y])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_both_sides_of_an_addition_go_together():
    model = residual()
    zero(model.get_layer("head"), inputs=[1])  # read by "inner", too
    made = compacted(model)
    assert made.get_layer("branch").units == 5
    zero(model.get_layer("inner"), inputs=[1])
    made = compacted(model)
    assert made.get_layer("branch").units == made.get_layer("stem").units == 4


@pytest.mark.parametrize(
    ("multiple", "stem", "inner"), [(1, 3, 2), (2, 4, 2), (4, 4, 4)]
)
def test_multiples_stay_on_both_sides_of_an_addition(multiple, stem, inner):
    model = residual()
    for name in ("stem", "branch"):
        zero(model.get_layer(name), units=[1, 3], bias=0)
    zero(model.get_layer("inner"), units=[0, 2, 4, 5], bias=0)
    made = kip.compact(model, round_to=multiple)
    found = [made.get_layer(name).units for name in ("stem", "branch", "inner", "head")]
    assert found == [stem, stem, inner, 2]
    assert_same_outputs(model, made)
    planned = plan(model, round_to=multiple)
    assert planned.parameters == (model.count_params(), made.count_params())


def test_a_folded_constant_may_stay_for_a_multiple():
    model = residual()
    zero(model.get_layer("inner"), units=[0, 2, 4], bias=3)
    made = kip.compact(model, round_to=4)
    assert made.get_layer("inner").units == 4
    assert_same_outputs(model, made)


def test_a_layer_without_a_multiple_stays_whole():
    model = residual()
    zero(model.get_layer("inner"), units=[0])
    assert kip.compact(model, round_to=8).get_layer("inner").units == 6


@pytest.mark.parametrize("value", [0, -2, 1.5, True, "8", None])
def test_a_multiple_is_a_positive_integer(value):
    for make in (kip.compact, plan):
        with pytest.raises(ValueError, match="`round_to` must be a positive integer"):
            make(residual(), round_to=value)


def test_one_side_alone_stays():
    model = residual()
    zero(model.get_layer("branch"), units=[0, 2])
    assert compacted(model).get_layer("branch").units == 5


def test_two_constants_are_added_and_folded():
    model = residual()
    zero(model.get_layer("stem"), units=[3], bias=2)
    zero(model.get_layer("branch"), units=[3], bias=5)
    made = compacted(model)
    assert made.get_layer("stem").units == 4
    head = model.get_layer("head")
    expected = head.bias.numpy() + 7 * head.kernel.numpy()[3]
    np.testing.assert_allclose(made.get_layer("head").bias, expected, rtol=1e-6)


MERGES = {
    "subtract": layers.Subtract(),
    "average": layers.Average(),
    "maximum": layers.Maximum(),
    "minimum": layers.Minimum(),
    "multiply": layers.Multiply(),
    "concatenate": layers.Concatenate(),
    "plus": lambda pair: pair[0] + pair[1],
    "minus": lambda pair: 1.0 - pair[0] - pair[1],
    "times": lambda pair: 2.0 * pair[0] * pair[1],
    "ops": lambda pair: ops.maximum(ops.relu(pair[0]), ops.square(pair[1])),
    "ops_concatenate": lambda pair: ops.concatenate(pair, -1),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MERGES)
def test_random_merges(name, seed):
    model = sparse(residual(MERGES[name]), units=0.4, seed=seed)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def test_a_product_with_zero_is_zero():
    model = residual(layers.Multiply())
    zero(model.get_layer("branch"), units=[1, 3], bias=0)
    zero(model.get_layer("inner"), inputs=[1, 3])
    made = compacted(model)
    assert made.get_layer("stem").units == 3


def test_squeeze_and_excite():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("conv"), units=[0, 5], bias=0)
    zero(model.get_layer("squeeze"), units=[2], bias=1)
    made = compacted(model)
    assert [made.get_layer(n).filters for n in ("conv", "squeeze", "excite")] == [
        6,
        3,
        6,
    ]


def test_a_reduction_by_operations():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    gate = ops.mean(x, axis=(1, 2), keepdims=True)
    x = ops.mean(x * ops.sigmoid(gate), axis=(1, 2))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("conv"), units=[0, 5], bias=1)
    assert compacted(model).get_layer("conv").filters == 6


def test_one_gate_for_all_channels():
    inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(6, 2, name="conv")(inputs)
    gate = layers.Conv2D(1, 1, activation="sigmoid", name="gate")(x)
    x = layers.Flatten()(layers.Multiply()([x, gate]))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("conv"), units=[0, 5], bias=0)
    made = compacted(model)
    assert (made.get_layer("conv").filters, made.get_layer("gate").filters) == (4, 1)


def test_dense_blocks_concatenate():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="stem")(x)
    for i in range(3):
        y = layers.BatchNormalization()(x)
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"c{i}")(y)
        x = layers.Concatenate()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    model = sparse(keras.Model(inputs, layers.Dense(2)(x)), 0.5, 0.4, seed=2)
    assert compacted(model).count_params() < model.count_params()


def test_concatenated_positions_are_tied():
    inputs = keras.Input((4, 3))
    one, two = (layers.Dense(5, name=n)(inputs) for n in ("one", "two"))
    x = layers.Concatenate(axis=1)([one, two])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("head"), inputs=[0])
    made = compacted(model)
    assert made.get_layer("one").units == made.get_layer("two").units == 4


def test_an_array_in_the_graph_is_a_wall():
    model = residual(lambda pair: pair[0] * np.arange(5.0, dtype="float32") + pair[1])
    sparse(model)
    compacted(model)
    (wall,) = plan(model).walls
    assert wall.reason == "an array is one of its arguments"


@pytest.mark.parametrize("name", ["clip", "elu", "threshold"])
def test_an_operation_with_a_setting_for_each_channel_is_a_wall(name):
    x = keras.Input((4,))
    settings = [0.1, 0.2, 0.3], *([1.0] if name != "elu" else [])
    hidden = layers.Dense(3, "sigmoid", name="hidden")
    model = keras.Model(x, layers.Dense(2)(getattr(ops, name)(hidden(x), *settings)))
    zero(hidden, units=[1], bias=0.5)
    assert plan(model).walls[0].reason == "an array is one of its arguments"
    compacted(model)


@pytest.mark.parametrize("kind", [layers.Dropout, layers.AlphaDropout])
def test_noise_for_each_channel_is_made_for_those_that_stay(kind):
    x = keras.Input((3, 4))
    hidden = layers.Dense(6, "sigmoid", name="hidden")
    for shape, left in (((None, 1, 6), (None, 1, 4)), ((None, 1, 1), (None, 1, 1))):
        noise = kind(0.5, noise_shape=shape, name="noise")
        model = keras.Model(x, layers.Dense(2)(noise(hidden(x))))
        zero(hidden, units=[1, 2], bias=0.5)
        made = compacted(model)
        assert tuple(made.get_layer("noise").noise_shape) == left
        made(np.ones((2, 3, 4)), training=True)


def test_a_function_is_a_wall():
    model = residual(lambda pair: layers.Lambda(lambda p: p[0] + p[1])(pair))
    zero(model.get_layer("head"), inputs=[1])
    assert compacted(model).get_layer("stem").units == 5
    assert plan(model).walls[0].reason == "its function may do anything"


def test_a_layer_of_ones_own_is_a_wall():
    class Twice(layers.Layer):
        def call(self, x):
            return 2 * x

    inputs = keras.Input((3,))
    x = Twice(name="twice")(layers.Dense(4, name="one")(inputs))
    x = layers.Dense(4, "relu", name="two")(x)
    model = sparse(keras.Model(inputs, layers.Dense(2)(x)), seed=1)
    zero(model.get_layer("two"), units=[0, 1], bias=0)
    made = compacted(model)
    assert made.get_layer("one").units == 4
    assert made.get_layer("two").units < 4
    (wall,) = plan(model).walls
    assert (wall.layer, wall.kind) == ("twice", "Twice")


def test_a_layer_without_a_config_is_named():
    class Scaled(layers.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return {"name": self.name}

    inputs = keras.Input((3,))
    x = Scaled(2.0)(layers.Dense(4)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(CompactionError, match="get_config"):
        kip.compact(model)


def test_a_scale_for_each_channel():
    scale = type(keras.applications.ConvNeXtTiny.__globals__["LayerScale"](1.0, 1))
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 2, name="conv")(inputs)
    x = scale(0.5, 5, name="scale")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))
    model.get_layer("scale").gamma.assign([1, 0, 2, 0, 3])
    made = compacted(model)
    assert made.get_layer("conv").filters == 3
    np.testing.assert_array_equal(made.get_layer("scale").gamma, [1, 2, 3])


def siamese():
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    shared = layers.Dense(5, "relu", name="shared")
    again = layers.Dense(3, name="again")
    x, y = (again(shared(each)) for each in (one, two))
    return keras.Model({"one": one, "two": two}, {"sum": x + y, "first": x})


def test_a_shared_layer_agrees_at_all_its_calls():
    model = siamese()
    zero(model.get_layer("again"), inputs=[0, 4])
    made = compacted(model)
    assert made.get_layer("shared").units == 3
    assert made.input.keys() == {"one", "two"}
    assert made.output.keys() == {"sum", "first"}


def test_a_constant_of_one_call_is_not_folded_for_another():
    inputs = keras.Input((4,))
    one = layers.Dense(3, name="one")(inputs)
    two = layers.Dense(3, name="two")(inputs)
    shared = layers.Dense(2, name="shared")
    model = keras.Model(inputs, [shared(one), shared(two)])
    zero(model.get_layer("one"), units=[0, 1], bias=1)
    zero(model.get_layer("two"), units=[0, 1], bias=[1, 2])
    made = compacted(model)
    assert made.get_layer("one").units == made.get_layer("two").units == 2
    expected = shared.bias.numpy() + shared.kernel.numpy()[0]
    np.testing.assert_allclose(made.get_layer("shared").bias, expected, rtol=1e-6)


def test_inner_models_stay_and_shrink(tmp_path):
    inner_inputs = keras.Input((5,))
    x = layers.Dense(6, "relu", name="inside")(inner_inputs)
    inner = keras.Model(inner_inputs, layers.Dense(4, name="out")(x), name="inner")
    last = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu")], name="last")
    inputs = keras.Input((3,))
    x = inner(layers.Dense(5, "relu", name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(last(x)))
    zero(inner.get_layer("inside"), inputs=[1])
    zero(last.layers[0], inputs=[0, 2])
    zero(model.get_layer("head"), inputs=[1])
    made = compacted(model)
    assert made.get_layer("inner").input_shape == (None, 4)
    assert made.get_layer("inner").output_shape == (None, 2)
    assert made.get_layer("last").layers[0].units == 2
    made.save(tmp_path / "small.keras")
    assert_same_outputs(made, keras.saving.load_model(tmp_path / "small.keras"), 0)


class Own(keras.Model):
    """A graph with a constructor of its own, which would make the old sizes again."""

    def __init__(self, units=5):
        inputs = keras.Input((3,))
        x = layers.Dense(units, "sigmoid", name="hidden")(inputs)
        super().__init__(inputs, layers.Dense(4, name="out")(x), name="own")
        self.units = units

    def get_config(self):
        return {"units": self.units}


class OwnSequential(keras.Sequential):
    def __init__(self, units=5):
        hidden = layers.Dense(units, "sigmoid", name="hidden")
        parts = [keras.Input((3,)), hidden, layers.Dense(4, name="out")]
        super().__init__(parts, name="own")
        self.units = units

    def get_config(self):
        return {"units": self.units}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@pytest.mark.parametrize("kind", [Own, OwnSequential])
def test_a_model_with_a_constructor_of_its_own_becomes_a_plain_one(kind, tmp_path):
    own = kind()
    outer = keras.Sequential([keras.Input((3,)), own, layers.Dense(2)])
    assert type(kip.compact(outer).get_layer("own")) is kind  # nothing changes in it
    zero(own.get_layer("hidden"), inputs=[1], units=[0, 3], bias=0.5)
    plain = type(outer) if kind is OwnSequential else type(residual())
    for model in (own, outer):
        made = compacted(model)
        inside = made if model is own else made.get_layer("own")
        assert type(inside) is plain and inside.name == "own"
        assert inside.get_layer("hidden").units == 3
        picking = kip.compact(model, inputs="gather")
        assert_same_outputs(model, picking)
        assert picking.count_params() == made.count_params() - 3
        made.save(tmp_path / "small.keras")
        assert_same_outputs(made, keras.saving.load_model(tmp_path / "small.keras"), 0)


def test_a_class_that_only_trains_in_its_own_way_stays():
    class Trained(keras.Model):
        def train_step(self, data):
            return {"own": self.options["own"]}

    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "sigmoid", name="hidden")
    model = Trained(inputs, layers.Dense(2)(hidden(inputs)))
    model.options = {"own": 3.0}  # set by its user, so it is in no config
    zero(hidden, units=[1], bias=0.5)
    made = compacted(model)
    assert type(made) is Trained and made.get_layer("hidden").units == 3
    made.compile("sgd", "mse")
    found = made.fit(drawn(made), np.zeros((3, 2)), verbose=0)
    assert found.history == {"own": [3.0]}


def test_a_shared_inner_model():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(4)], name="inner"
    )
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inner(inner(inputs))))
    compacted(sparse(model, seed=2))
    zero(inner.layers[1], inputs=[0])
    assert compacted(model).get_layer("inner").layers[0].units < 6


def test_a_layer_that_a_wall_calls_is_a_wall():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((3,))
    x = layers.Dense(3, name="before")(inputs)
    wrapped = layers.SpectralNormalization(shared, name="wall")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(wrapped + shared(x)))
    zero(shared, inputs=[0])
    zero(model.get_layer("head"), inputs=[0])
    planned = plan(model)
    assert planned.changes == ()
    assert [wall.reason for wall in planned.walls[1:]] == ["wall calls it, too"]
    with pytest.raises(CompactionError, match="cannot be made.*wall/layer.*is shared"):
        kip.compact(model)


def test_training_mode_is_a_wall():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="one")(inputs)
    x = layers.BatchNormalization(name="norm")(x, training=True)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("head"), inputs=[0])
    (wall,) = plan(model).walls
    assert wall.reason == "it is always in training mode"


def test_a_wall_at_one_call_is_a_wall_at_all():
    inputs = keras.Input((3,))
    norm = layers.BatchNormalization(name="norm")
    x = layers.Dense(4, name="one")(inputs)
    x = norm(layers.Dense(4, name="two")(norm(x, training=True)))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("head"), inputs=[0])
    assert plan(model).changes == ()
    (wall,) = plan(model).walls
    assert wall.reason == "at one of its calls, it is always in training mode"


@pytest.mark.parametrize(
    ("limit", "weight"),
    [("UnitNorm", "kernel"), ("NonNeg", "bias"), ("MaxNorm", "kernel"), (None, None)],
)
def test_a_constraint_that_the_smaller_weight_would_break_is_a_wall(limit, weight):
    limits = {f"{weight}_constraint": limit} if limit else {}
    stem, out = layers.Dense(3, name="stem"), layers.Dense(2, name="out", **limits)
    model = keras.Sequential([keras.Input((4,)), stem, out])
    zero(stem, units=[0], bias=-2)
    out.kernel.assign(np.full((3, 2), 3**-0.5))  # of norm 1
    breaks = limit in ("UnitNorm", "NonNeg")  # of norm (2/3)½; below zero
    reason = f"its {weight} has a constraint, {limit}, that a smaller one breaks"
    assert [wall.reason for wall in plan(model).walls] == [reason] * breaks
    made = compacted(model)
    assert made.get_layer("stem").units == (3 if breaks else 2)
    x = drawn(model)
    (before,) = outputs(model, x)
    for each in (model, made):  # a step applies constraints
        each.compile(keras.optimizers.SGD(0.0), "mse")
        each.fit(x, np.zeros((len(before), 2)), verbose=0)
        np.testing.assert_allclose(outputs(each, x)[0], before, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2), (3, 1)])
def test_a_constraint_of_one_shape_is_a_wall(shape):
    class Masked(keras.constraints.Constraint):
        def __call__(self, w):
            return w * np.ones(shape, "float32")

    stem, out = layers.Dense(3), layers.Dense(2, name="out")
    model = keras.Sequential([keras.Input((4,)), stem, out])
    out.kernel.constraint = Masked()
    zero(stem, units=[0, 1], bias=-2)
    assert ["Masked" in wall.reason for wall in plan(model).walls] == [True]
    made = kip.compact(model)
    assert_same_outputs(model, made)
    assert made.get_layer("out").kernel.shape == (3, 2)


def test_an_unused_input_and_an_input_as_output():
    one, two = keras.Input((3,), name="one"), keras.Input((2,), name="two")
    model = keras.Model([one, two], [layers.Dense(2)(layers.Dense(4)(one)), one])
    made = compacted(sparse(model))
    assert [x.shape for x in made.inputs] == [(None, 3), (None, 2)]
    assert plan(model).dead_inputs == {"two": [0, 1]}


def test_an_embedding_loses_columns():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(7, 5, name="table")(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    table = model.get_layer("table").embeddings
    values = table.numpy()
    values[:, 1] = 3  # the same for all words
    table.assign(values)
    zero(model.get_layer("head"), inputs=[4])
    made = compacted(model)
    np.testing.assert_array_equal(
        made.get_layer("table").embeddings, values[:, [0, 2, 3]]
    )


def test_the_names_of_operations_and_outputs_stay():
    model = residual(MERGES["plus"])
    zero(model.get_layer("branch"), units=[0])
    x = drawn(model)
    model.compile("sgd", "mse")
    made = kip.compact(model)
    assert not made.compiled
    assert made.output_names == model.output_names
    assert outputs(made, x)[0].shape == (3, 2)


def test_a_shared_encoder_of_two_lengths():
    table, dense = layers.Embedding(11, 6), layers.Dense(4, "relu")
    parts = [table, layers.GlobalAveragePooling1D(), dense]
    shared = keras.Sequential([keras.Input((None,), dtype="int32"), *parts])
    inputs = [keras.Input((length,), dtype="int32") for length in (5, 9)]
    x = layers.Concatenate()([shared(each) for each in inputs])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(dense, inputs=[2])
    zero(model.get_layer("head"), inputs=[0, 4])
    made = compacted(model).get_layer(shared.name)
    assert (made.layers[0].output_dim, made.layers[2].units) == (5, 3)
    assert not plan(model).walls


@pytest.mark.skipif(
    "build" in vars(layers.Reshape), reason="a Reshape of Keras 3.8 takes one size"
)
def test_a_shared_reshape_of_two_sizes():
    inputs = [keras.Input(shape) for shape in ((4, 3), (4, 2))]
    one, two = layers.Dense(5, name="one"), layers.Dense(6, name="two")
    flat = layers.Reshape((-1,))
    x = layers.Concatenate()([flat(one(inputs[0])), flat(two(inputs[1]))])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("head"), inputs=range(0, 20, 5))
    made = compacted(model)
    assert (made.get_layer("one").units, made.get_layer("two").units) == (4, 6)
    assert not plan(model).walls


def test_slopes_that_all_channels_share_take_any_number():
    inputs = keras.Input((4, 3))
    slopes = layers.PReLU("ones", shared_axes=[1, 2])
    x = [slopes(layers.Dense(n, name=f"to_{n}")(inputs)) for n in (5, 6)]
    x = layers.Concatenate()(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("head"), inputs=[0, 5, 6])
    made = compacted(model)
    assert (made.get_layer("to_5").units, made.get_layer("to_6").units) == (4, 4)


def shared_attention(second):
    """Two calls of one attention, the second of which is given more."""
    inputs, mask = keras.Input((5, 4)), keras.Input((5, 5), dtype="bool")
    x = layers.Dense(4, name="before")(inputs)
    attend = layers.MultiHeadAttention(2, 3, name="attend")
    more = {"attention_mask": mask} if second == "attention_mask" else {"key": x * 2.0}
    x = attend(x, x) + attend(x, x, **more)
    model = keras.Model([inputs, mask], layers.Dense(2, name="head")(x))
    return sparse(model, 0.0, 0.0)


def test_attention_with_a_mask_at_one_call():
    model = shared_attention("attention_mask")
    output = model.get_layer("attend").output_dense
    kernel = output.kernel.numpy()
    kernel[1] = 0
    output.kernel.assign(kernel)
    assert compacted(model).get_layer("attend").num_heads == 1
    assert not plan(model).walls


def test_attention_with_a_key_at_one_call_is_a_wall():
    model = shared_attention("key")
    zero(model.get_layer("head"), inputs=[1])
    compacted(model)
    (wall,) = plan(model).walls
    assert (wall.layer, wall.reason) == ("attend", "its calls differ in what they read")


def test_a_config_that_each_call_would_change_in_its_way_is_a_wall():
    inputs = keras.Input((3,)), keras.Input((3,))
    one, two = layers.Dense(24, name="one"), layers.Dense(6, name="two")
    split = layers.Reshape((-1, 6), name="split")  # six channels, or one each
    x = split(one(inputs[0]))
    y = split(layers.RepeatVector(4)(two(inputs[1])))
    z = split(layers.Permute((2, 1))(layers.RepeatVector(4)(two(inputs[1]))))
    for others, walls in (([y], []), ([z], ["split"])):
        parts = [layers.GlobalMaxPooling1D()(each) for each in (x, *others)]
        parts = layers.Concatenate()(parts)
        model = keras.Model(inputs, layers.Dense(2, name="head")(parts))
        zero(model.get_layer("head"), inputs=[1, 7])
        made = compacted(model)
        assert [wall.layer for wall in plan(model).walls] == walls
        assert made.get_layer("one").units == (24 if walls else 20)


def test_axes_of_length_one_that_are_left_out_unnamed_are_a_wall():
    inputs = keras.Input(batch_shape=(3, 6, 6, 2))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(3, 2)(inputs))
    named = ops.squeeze(ops.squeeze(x, 1), 1)
    for y, walls in ((ops.squeeze(x), 1), (named, 0)):
        model = keras.Model(inputs, layers.Dense(2, name="head")(y))
        zero(model.get_layer("head"), inputs=[1, 2])
        assert compacted(model).layers[1].filters == (3 if walls else 1)
        assert len(plan(model).walls) == walls


def test_kernels_that_are_not_counted_are_named():
    times = zoo.Lookup(name="times")
    model = keras.Sequential([keras.Input((4,)), times, layers.Dense(2)])
    planned = plan(model)
    assert (planned.macs, planned.unknown_macs) == ((8, 8), ("times/table",))
    assert "unknown, of times/table" in str(planned)


@pytest.mark.parametrize(
    "mix",
    [
        layers.Dense(4, name="mix"),
        layers.SeparableConv1D(4, 2, name="mix"),
        layers.EinsumDense("abc,cd->abd", (3, 4), name="mix"),
    ],
    ids=["dense", "separable", "einsum"],
)
def test_channels_that_were_moved_stay(mix):
    inputs = keras.Input((5, 2))
    x = layers.Permute((2, 1))(layers.Dense(3, "softplus", name="before")(inputs))
    x = layers.Flatten()(mix(x))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    zero(model.get_layer("before"), units=[0], bias=1)
    zero(model.get_layer("head"), inputs=range(0, x.shape[1], 4))
    made = compacted(model)
    assert made.get_layer("before").units == 3
    assert made.get_layer("mix").output.shape[-1] == 3
    assert "channels are on axis 1" in plan(model).walls[0].reason


def test_a_constant_that_stays_is_still_made():
    first, second = layers.Dense(2), layers.Dense(3)
    inner = keras.Sequential([keras.Input((3,)), first, second])
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(inner(inner(inputs))))
    first.set_weights([np.array([[0, 0], [0, 0], [0, 1]]), np.array([0, -1])])
    second.set_weights([np.array([[0, 0, 0], [0, 4, 0]]), np.array([2, 3, 5])])
    made = compacted(model)  # all that the head reads is constant, and stays
    assert made.get_layer(inner.name).layers[0].units == 1
    assert made.get_layer(inner.name).layers[0].kernel[2] == 1
