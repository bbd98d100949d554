"""Recurrent layers, attention, and layers at each step."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from compactions import assert_same_outputs, compacted, sparse
from keras_invprune.compaction import plan


def sequence(*inner, channels=3, steps=5):
    return keras.Sequential(
        [keras.Input((steps, channels)), *inner, layers.Dense(2, name="head")]
    )


def zero_rows(layer, rows):
    kernel = layer.kernel.numpy()
    kernel[rows] = 0
    layer.kernel.assign(kernel)


RECURRENT = ["SimpleRNN", "GRU", "LSTM"]
MODES = ["concat", "sum", "ave", "mul"]  # of both directions


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_unit_that_nobody_reads_goes(kind):
    model = sequence(getattr(layers, kind)(5, name="rnn"))
    cell = model.get_layer("rnn").cell
    zero_rows(model.get_layer("head"), [1, 3])
    assert compacted(model).get_layer("rnn").units == 5  # units read each other
    recurrent = cell.recurrent_kernel.numpy()
    recurrent[[1, 3]] = 0
    cell.recurrent_kernel.assign(recurrent)
    made = compacted(model).get_layer("rnn")
    assert made.units == 3
    alive = np.arange(5 * (recurrent.shape[1] // 5)).reshape(-1, 5)[:, [0, 2, 4]]
    expected = recurrent[[0, 2, 4]][:, alive.reshape(-1)]
    np.testing.assert_array_equal(made.cell.recurrent_kernel, expected)


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_unit_that_is_always_zero_goes(kind):
    model = sequence(getattr(layers, kind)(4, name="rnn"))
    cell = model.get_layer("rnn").cell
    for weight in (cell.kernel, cell.recurrent_kernel, cell.bias):
        values = weight.numpy()
        gate = 0 if kind == "SimpleRNN" else 2
        values.reshape(*values.shape[:-1], -1, 4)[..., gate, 1] = 0
        weight.assign(values)
    assert compacted(model).get_layer("rnn").units == 3


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_constant_input_is_folded_into_the_bias(kind):
    options = [{}, {"use_bias": False}]
    options += [{"reset_after": False}] if kind == "GRU" else []
    for option in options:
        model = sequence(
            layers.Dense(4, "softplus", name="before"),
            getattr(layers, kind)(3, name="rnn", **option),
        )
        before = model.get_layer("before")
        kernel = before.kernel.numpy()
        kernel[:, 2] = 0
        before.kernel.assign(kernel)  # softplus(0) = log 2
        made = compacted(model)
        assert made.get_layer("before").units == 3
        old, new = (each.get_layer("rnn").cell for each in (model, made))
        shift = np.log(2) * old.kernel.numpy()[2]
        first = new.bias.numpy().reshape(-1, len(shift))[0]
        bias = 0 if old.bias is None else old.bias.numpy().reshape(-1, len(shift))[0]
        np.testing.assert_allclose(first, bias + shift, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("seed", range(3))
def test_random_recurrent_networks(kind, seed):
    model = sequence(
        layers.Dense(6, "relu"),
        getattr(layers, kind)(7, return_sequences=True),
        getattr(layers, kind)(5, go_backwards=True),
    )
    compacted(sparse(model, seed=seed))
    assert not plan(model).walls


def test_states_are_outputs():
    inputs = keras.Input((None, 3))
    sequences, h, c = layers.LSTM(6, return_sequences=True, return_state=True)(inputs)
    x = layers.GlobalMaxPooling1D()(sequences)
    x = layers.Concatenate()([x, h, c])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    sparse(model, 0.5, 0.5, seed=4)
    compacted(model)


def test_a_given_state_is_a_wall():
    inputs, state = keras.Input((5, 3)), keras.Input((4,))
    x = layers.GRU(4, name="rnn")(inputs, initial_state=state)
    model = keras.Model([inputs, state], layers.Dense(2, name="head")(x))
    sparse(model)
    compacted(model)
    assert plan(model).walls[0].reason == "it is called with 2 tensors"


# How outputs are merged does not depend on the layer: each at least once.
@pytest.mark.parametrize(
    ("kind", "mode"),
    [*itertools.zip_longest(RECURRENT, MODES, fillvalue=RECURRENT[0])],
)
def test_both_directions(kind, mode):
    model = sequence(
        layers.Dense(6, "relu"),
        layers.Bidirectional(
            getattr(layers, kind)(6, return_sequences=True), merge_mode=mode, name="two"
        ),
    )
    for seed in (0, 1):
        sparse(model, 0.7, 0.4, seed=seed)
        compacted(model)
    assert not plan(model).walls


def test_both_directions_with_states_and_without_merging():
    inputs = keras.Input((5, 3))
    two = layers.Bidirectional(layers.LSTM(6, return_state=True), merge_mode=None)
    x = layers.Concatenate()(list(two(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(x))
    compacted(sparse(model, 0.7, 0.4, seed=1))
    assert not plan(model).walls


def test_masked_steps():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(5, 6, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(5))(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    sparse(model, 0.6, 0.3, seed=2)
    assert compacted(model).count_params() < model.count_params()


DISTRIBUTED = {
    "dense": lambda: (layers.Dense(5, "softplus"), layers.Dense(4, use_bias=False)),
    "norm": lambda: (layers.BatchNormalization(), layers.Dense(4)),
}


@pytest.mark.parametrize("name", DISTRIBUTED)
@pytest.mark.parametrize("seed", [0, 1])
def test_layers_at_each_step(name, seed):
    model = sequence(
        layers.Dense(6, "relu"),
        *(layers.TimeDistributed(layer) for layer in DISTRIBUTED[name]()),
    )
    sparse(model, 0.6, 0.4, seed=seed)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def test_images_at_each_step():
    model = keras.Sequential(
        [
            keras.Input((3, 5, 5, 2)),
            layers.TimeDistributed(layers.Conv2D(4, 2, activation="relu")),
            layers.TimeDistributed(layers.MaxPooling2D(2)),
            layers.TimeDistributed(layers.Flatten()),
            layers.LSTM(4),
            layers.Dense(2),
        ]
    )
    sparse(model, 0.6, 0.4, seed=1)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def frames():
    """A network for each image of a film, with a residual addition inside."""
    inputs = keras.Input((5, 5, 2))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(inputs)
    x = x + layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(8, "softplus", name="each")(x))


def test_a_model_at_each_step():
    inputs = keras.Input((3, 5, 5, 2))
    x = layers.TimeDistributed(frames(), name="frames")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(4)(x)))
    for seed in (0, 1):
        made = compacted(sparse(model, 0.6, 0.4, seed=seed))
        inner = made.get_layer("frames").layer
        assert inner.get_layer("each").units < 8
        assert inner.get_layer("conv").filters <= 6
    assert not plan(model).walls


def test_a_model_at_each_step_and_once():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(5, "sigmoid")]
    )
    inputs = keras.Input((3, 4))
    steps = layers.TimeDistributed(inner, name="steps")
    x = layers.GlobalMaxPooling1D()(steps(inputs))
    y = inner(inputs[:, 1])
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([x, y])))
    sparse(model, 0.6, 0.4, seed=1)
    made = compacted(model)
    assert made.count_params() < model.count_params()
    assert made.get_layer("steps").layer is made.get_layer(inner.name)


def test_what_is_always_in_training_mode_at_each_step_is_a_wall():
    inputs = keras.Input((3, 4))
    steps = layers.TimeDistributed(layers.Dense(6, "relu"), name="steps")
    x = layers.GlobalMaxPooling1D()(steps(inputs, training=True))
    model = sparse(keras.Model(inputs, layers.Dense(2)(x)), 0.6, 0.4, seed=1)
    compacted(model)
    assert [wall.layer for wall in plan(model).walls] == ["steps"]


EQUATIONS = [
    ("abc,cd->abd", (5, 6), "d"),
    ("abc,cd->abd", (5, 6), None),
    ("abc,cde->abde", (5, 3, 6), "de"),
    ("abc,cde->abde", (5, 3, 6), "e"),
    ("abc,cde->abde", (5, 3, 6), None),
    ("abc,bcd->ad", 6, "d"),
]


@pytest.mark.parametrize("equation, shape, bias", EQUATIONS)
def test_equations(equation, shape, bias):
    model = sequence(
        layers.Dense(6, "relu" if bias == "e" else "softplus"),
        layers.EinsumDense(equation, shape, bias_axes=bias, activation="relu"),
        layers.Flatten(),
    )
    for seed in (0, 1):
        sparse(model, 0.6, 0.4, seed=seed)
        assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


@pytest.mark.parametrize("equation", ["...c,cd->...d", "abc,bcd->abcd"])
def test_other_equations_are_walls(equation):
    shape = 6 if "." in equation else (5, 6, 2)
    model = sequence(
        layers.Dense(6), layers.EinsumDense(equation, shape), layers.Flatten()
    )
    compacted(sparse(model))
    assert plan(model).walls[0].kind == "EinsumDense"


def attention(**options):
    inputs = keras.Input((5, 4))
    x = layers.Dense(6, "softplus", name="before")(inputs)
    options = {"num_heads": 3, "key_dim": 4, "value_dim": 5, **options}
    y = layers.MultiHeadAttention(name="attention", **options)(x, x)
    return keras.Model(inputs, layers.Dense(2, name="head")(y))


def test_a_dead_head_goes():
    model = attention()
    layer = model.get_layer("attention")
    kernel = layer.output_dense.kernel.numpy()
    kernel[1] = 0
    layer.output_dense.kernel.assign(kernel)
    made = compacted(model).get_layer("attention")
    assert (made.num_heads, made.key_dim, made.value_dim) == (2, 4, 5)
    np.testing.assert_array_equal(made.output_dense.kernel, kernel[[0, 2]])


def test_a_dead_key_dimension_goes_and_the_scale_is_kept():
    model = attention()
    layer = model.get_layer("attention")
    query, key = (getattr(layer, name).kernel for name in ("query_dense", "key_dense"))
    values = query.numpy()
    values[:, 0, 1] = 0  # one in each head, by the query or the key
    query.assign(values)
    scaled = values
    values = key.numpy()
    values[:, 1, 3] = values[:, 2, 0] = 0
    key.assign(values)
    made = compacted(model).get_layer("attention")
    assert (made.num_heads, made.key_dim) == (3, 3)
    expected = scaled[:, 0, [0, 2, 3]] * np.sqrt(3 / 4)
    np.testing.assert_allclose(made.query_dense.kernel[:, 0], expected, rtol=1e-6)


def test_constant_values_are_folded_behind_attention():
    model = attention()
    layer = model.get_layer("attention")
    values = layer.value_dense.kernel.numpy()
    values[:, :, 2] = 0
    layer.value_dense.kernel.assign(values)
    bias = np.ones((3, 5)) * [[1], [2], [3]]
    layer.value_dense.bias.assign(bias)
    made = compacted(model).get_layer("attention")
    assert made.value_dim == 4
    shift = np.array([1, 2, 3]) @ layer.output_dense.kernel.numpy()[:, 2]
    expected = layer.output_dense.bias.numpy() + shift
    np.testing.assert_allclose(made.output_dense.bias, expected, rtol=1e-5)


def test_outputs_that_nobody_reads_go_from_attention():
    model = attention(output_shape=7)
    zero_rows(model.get_layer("head"), [0, 6])
    made = compacted(model).get_layer("attention")
    assert made.output_dense.kernel.shape[-1] == 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bias", [True, False])
def test_random_attention(bias, seed):
    model = attention(use_bias=bias)
    sparse(model, 0.6, 0.3, seed=seed)
    assert compacted(model).count_params() < model.count_params()
    assert not plan(model).walls


def test_attention_between_two_sequences():
    one, two, three = keras.Input((5, 4)), keras.Input((6, 3)), keras.Input((6, 4))
    x, y, z = (layers.Dense(6, "relu")(each) for each in (one, two, three))
    mask = keras.Input((5, 6), dtype="bool")
    x = layers.MultiHeadAttention(2, 3)(x, y, key=z, attention_mask=mask)
    model = keras.Model([one, two, three, mask], layers.Dense(2)(x))
    sparse(model, 0.6, 0.3, seed=2)
    assert compacted(model).count_params() < model.count_params()


def test_a_transformer_block(tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 6)(inputs)
    y = layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    x = layers.LayerNormalization()(x + y)
    y = layers.Dense(10, "gelu", name="feed")(x)
    x = layers.LayerNormalization()(x + layers.Dense(6)(y))
    model = keras.Model(inputs, layers.Dense(9, "softmax")(x))
    sparse(model, 0.5, 0.4, seed=1)
    made = compacted(model)
    assert made.get_layer("feed").units < 10
    made.save(tmp_path / "small.keras")
    assert_same_outputs(made, keras.saving.load_model(tmp_path / "small.keras"), 0)


@pytest.mark.parametrize(
    "reader",
    [
        layers.LSTM(3, use_bias=False, name="reader"),
        layers.GRU(3, use_bias=False, name="reader"),
        layers.EinsumDense("abc,cd->abd", (4, 3), name="reader"),
    ],
    ids=["lstm", "gru", "einsum"],
)
def test_constants_that_nothing_reads_add_no_bias(reader):
    inputs = keras.Input((4, 3))
    one = layers.Dense(5, name="one")
    model = keras.Model(inputs, layers.Dense(2)(reader(one(inputs))))
    one.kernel.assign(one.kernel.numpy() * [1, 0, 1, 1, 1])
    one.bias.assign([0, 2, 0, 0, 0])  # a constant
    kernel = reader.weights[0]
    kernel.assign(kernel.numpy() * np.array([1, 0, 1, 1, 1])[:, None])
    made = compacted(model)
    assert made.get_layer("one").units == 4
    names = [weight.name for weight in made.get_layer("reader").weights]
    assert names == [weight.name for weight in reader.weights]


def zero_values(layer, dimensions=0):
    """Leave only the bias of some value dimensions of each head."""
    values = layer.value_dense.kernel.numpy()
    values[:, :, dimensions] = 0
    layer.value_dense.kernel.assign(values)


def random_weights(model):
    return sparse(model, 0.0, 0.0)


def with_a_mask(attend, x):
    mask = keras.Input((1, 5), dtype="bool")
    return [mask], attend(x, x, attention_mask=mask)


def with_masked_steps(attend, x):
    return [], attend(layers.Masking()(x), x)


def with_steps_that_an_inner_model_masks(attend, x):
    inner = keras.Sequential([keras.Input((None, 4)), layers.Masking()])
    y = layers.Dense(4)(inner(x))
    return [], attend(y, y)


def with_a_mask_for_an_inner_model(attend, x):
    inner = keras.Sequential([keras.Input((5, 4)), layers.Activation("tanh")])
    y = inner(layers.Masking()(x))
    return [], attend(y, y)


def with_a_mask_through_a_function(attend, x):
    y = layers.Dense(4)(layers.Lambda(lambda steps: steps)(layers.Masking()(x)))
    return [], attend(y, y)


def with_a_mask_through_an_operation(attend, x):
    y = layers.Dense(4)(keras.ops.cast(layers.Masking()(x), "float32"))
    return [], attend(y, y)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("dropout", [0, 0.1])  # Keras has two ways to attend
@pytest.mark.parametrize(
    "masked",
    [
        with_a_mask,
        with_masked_steps,
        with_steps_that_an_inner_model_masks,
        with_a_mask_for_an_inner_model,
        with_a_mask_through_a_function,
        with_a_mask_through_an_operation,
    ],
)
def test_of_masked_attention_only_zeros_are_constant(masked, dropout):
    inputs = keras.Input((5, 4))
    attend = layers.MultiHeadAttention(2, 3, dropout=dropout, name="attend")
    others, y = masked(attend, inputs)
    model = random_weights(keras.Model([inputs, *others], layers.Dense(2)(y)))
    zero_values(attend)
    assert compacted(model).get_layer("attend").value_dim == 3
    bias = attend.value_dense.bias.numpy()
    bias[:, 0] = 0
    attend.value_dense.bias.assign(bias)
    assert compacted(model).get_layer("attend").value_dim == 2


def test_a_causal_mask_leaves_each_step_something():
    inputs = keras.Input((5, 4))
    attend = layers.MultiHeadAttention(2, 3, dropout=0.1, name="attend")
    y = attend(inputs, inputs, use_causal_mask=True)
    model = random_weights(keras.Model(inputs, layers.Dense(2)(y)))
    zero_values(attend)
    assert compacted(model).get_layer("attend").value_dim == 2


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_attention_over_several_axes(seed, mask):
    inputs, seen = keras.Input((3, 4, 6)), keras.Input((3, 4, 3, 4), dtype="bool")
    attend = layers.MultiHeadAttention(2, 3, attention_axes=(1, 2), name="attend")
    y = attend(inputs, inputs, attention_mask=seen if mask else None)
    model = keras.Model([inputs, seen] if mask else inputs, layers.Dense(2)(y))
    compacted(sparse(model, seed=seed))
    for side in (attend.query_dense, attend.value_dense):
        for weight in side.weights:
            weight.assign(weight.numpy() * [0, 1, 1])
    made = compacted(model).get_layer("attend")
    assert made.key_dim < 3 and made.value_dim < 3


def test_arguments_of_attention_are_known_by_name():
    inputs = keras.Input((5, 4))
    x, y, z = (layers.Dense(4, name=name)(inputs) for name in "xyz")
    attend = layers.MultiHeadAttention(2, 3)
    out = attend(x, value=y, key=z)
    model = random_weights(keras.Model(inputs, layers.Dense(2)(out)))
    zero_rows(attend.query_dense, 0)
    zero_rows(attend.key_dense, [1, 2])
    made = compacted(model)
    assert [made.get_layer(name).units for name in "xyz"] == [3, 4, 2]


def test_a_mean_of_masked_steps_at_each_step():
    inputs = keras.Input((3, 4), dtype="int32")
    x = layers.Embedding(5, 4, mask_zero=True)(inputs)
    before = layers.Dense(3, "softplus", name="before")
    x = layers.TimeDistributed(before)(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling1D())(x)
    model = random_weights(keras.Model(inputs, layers.Dense(2)(x)))
    kernel = before.kernel.numpy()
    kernel[:, 0] = 0
    before.kernel.assign(kernel)
    assert plan(model).changes == ()  # none may be left, and then it is not a number


def test_a_length_that_an_equation_leaves_open():
    inputs = keras.Input((None, 5))
    x = layers.EinsumDense("abc,cd->abd", (None, 7), name="wide")(inputs)
    x = layers.Reshape((-1, 7))(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GRU(6)(x)))
    made = compacted(sparse(model, 0.6, 0.4, seed=1))
    assert not plan(model).walls
    assert model.get_layer("wide").partial_output_shape == (None, 7)
    assert made.get_layer("wide").partial_output_shape[0] is None
