"""A masked layer reads w * mask, and is otherwise the layer it wraps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import zoo
from keras_invprune.contracts import Effective
from keras_invprune.pruning.masked import Masked

X = np.array([[1.0, 2.0], [3.0, -1.0]], "float32")
W = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], "float32")
MASK = np.array([[1, 0, 1], [0, 1, 1]], bool)
PRODUCT = np.array([[1.0, 10.0, -9.0], [3.0, -5.0, 15.0]], "float32")  # X @ (W * MASK)


def dense(**options):
    layer = layers.Dense(3, use_bias=False, **options)
    layer.build((None, 2))
    layer.kernel.assign(W)
    return layer


def masked_dense(**options):
    """W is whole in the layer, MASK is on it."""
    layer = dense(**options)
    wrapper = Masked(layer)
    wrapper.set_masks({"kernel": MASK})
    layer.kernel.assign(W)
    return wrapper


def gradient(wrapper, x, variable):
    with tf.GradientTape() as tape:
        loss = ops.sum(wrapper(x, training=True))
    return tape.gradient(loss, variable).numpy()


# Forward and backward


def test_the_forward_pass_reads_the_product():
    np.testing.assert_array_equal(masked_dense()(X), PRODUCT)


def test_the_layer_itself_keeps_its_dense_weight():
    wrapper = masked_dense()
    wrapper(X)
    np.testing.assert_array_equal(wrapper.layer.kernel, W)
    np.testing.assert_array_equal(wrapper.layer(X), X @ W)


def test_the_gradient_is_zero_where_the_mask_is():
    wrapper = masked_dense()
    found = gradient(wrapper, X, wrapper.layer.kernel)
    np.testing.assert_array_equal(found, X.sum(0)[:, None] * MASK)


@pytest.mark.parametrize("jit", [False, True])
def test_it_is_the_same_inside_a_tf_function(jit):
    wrapper = masked_dense()
    call = tf.function(lambda x: wrapper(x), jit_compile=jit)
    np.testing.assert_array_equal(call(X), PRODUCT)


@pytest.mark.parametrize("name", ["lstm", "attention", "embedding", "conv_2d"])
def test_masking_equals_writing_the_product_into_the_weights(name):
    case = zoo.CASES[name]()
    wrapper = Masked(case.model)
    masks = {key: np.arange(v.numpy().size) % 3 > 0 for key, v in wrapper.masks.items()}
    masks = {key: m.reshape(wrapper.masks[key].shape) for key, m in masks.items()}
    for key, mask in masks.items():
        wrapper.masks[key].assign(mask)
    masked = wrapper(case.x).numpy()
    dense = case.model(case.x).numpy()
    wrapper.apply_masks()
    np.testing.assert_array_equal(masked, case.model(case.x))
    assert np.abs(masked - dense).max() > 1e-4


def test_an_own_effective_weight_is_read_and_differentiated():
    wrapper = Masked(dense(), effective=straight_through)
    wrapper.set_masks({"kernel": MASK})
    np.testing.assert_array_equal(wrapper(X), PRODUCT)
    # The gradient reaches masked weights, and they are not erased.
    found = gradient(wrapper, X, wrapper.layer.kernel)
    np.testing.assert_array_equal(found, np.tile(X.sum(0)[:, None], 3))
    np.testing.assert_array_equal(wrapper.layer.kernel, W)


@zoo.register
def straight_through(weight, mask):
    return weight + ops.stop_gradient(weight * mask - weight)


# What the layer keeps of a call


def test_batch_norm_statistics_are_written_back():
    layer = layers.BatchNormalization(momentum=0.5)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), layer])
    Masked(model)(X, training=True)
    expected = 0.5 * model.layers[0](X).numpy().mean(0)
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-6)


def test_without_training_nothing_is_written():
    model = zoo.CASES["batch_norm_and_dropout"]().model
    before = [v.numpy() for v in model.variables]
    Masked(model)(zoo.floats(4), training=False)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


@pytest.mark.parametrize("jit", [False, True])
def test_dropout_draws_anew_in_each_call(jit):
    stack = [layers.Dense(64), layers.Dropout(0.5)]
    wrapper = Masked(keras.Sequential([keras.Input((2,)), *stack]))
    call = tf.function(lambda x: wrapper(x, training=True), jit_compile=jit)
    first, second = (np.equal(call(X), 0) for _ in range(2))
    assert 0 < first.mean() < 1 and not np.array_equal(first, second)


def test_activity_losses_are_kept_and_seen_once():
    plain = dense(activity_regularizer="l1")
    plain.kernel.assign(W * MASK)
    plain(X)
    (expected,) = plain.losses  # divided by the rows or not, as this Keras has it
    assert float(expected) > 0
    wrapper = masked_dense(activity_regularizer="l1")
    for _ in range(2):
        wrapper(X)
        (loss,) = wrapper.losses
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


class Twice(keras.regularizers.Regularizer):
    """Somebody's own regularizer, which holds another one."""

    def __init__(self, regularizer):
        self.regularizer = regularizer

    def __call__(self, weight):
        return 2 * self.regularizer(weight)


def test_a_regularizer_around_another_one_is_applied_itself():
    wrapper = masked_dense(kernel_regularizer=Twice(keras.regularizers.L1(1.0)))
    wrapper(X)
    (loss,) = wrapper.losses
    assert float(loss) == pytest.approx(2 * np.abs(W * MASK).sum())
    Masked(wrapper.layer)
    assert isinstance(wrapper.layer.kernel.regularizer.regularizer, Twice)


def test_kernel_regularizers_see_the_weight_through_the_mask():
    wrapper = masked_dense(kernel_regularizer="l2")
    with tf.GradientTape() as tape:
        (loss,) = wrapper.losses
    expected = 0.01 * np.square(W * MASK)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-6)
    gradient = tape.gradient(loss, wrapper.layer.kernel)
    np.testing.assert_allclose(gradient, 0.02 * W * MASK, rtol=1e-6)
    wrapper.release()
    (loss,) = wrapper.losses
    np.testing.assert_allclose(loss, 0.01 * np.square(W).sum(), rtol=1e-6)


def test_sequence_masks_pass_through():
    x = np.array([[1, 2, 0, 0]])
    embed = layers.Embedding(4, 3, mask_zero=True)
    embed.build((None, 4))
    wrapper = Masked(embed)
    lstm = layers.LSTM(2)
    np.testing.assert_array_equal(lstm(wrapper(x)), lstm(embed(x)))
    assert np.abs(lstm(wrapper(x)) - lstm(ops.array(wrapper(x).numpy()))).max() > 0


def test_a_large_float32_weight_survives_mixed_precision():
    model = zoo.CASES["mixed_float16_with_float32_head"]().model
    model.get_layer("head").bias.assign([1e6, 1e6 + 1, 1e6])  # beyond float16
    wrapper = Masked(model)
    expected = model(zoo.floats(4))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(wrapper(zoo.floats(4)), expected)
    found = wrapper.run(model, zoo.floats(4))
    np.testing.assert_array_equal(found, expected)


def test_run_calls_a_function_in_the_place_of_the_layer():
    def twice(inputs, training):
        return [wrapper.layer(inputs), training]

    wrapper = masked_dense()
    outputs, training = wrapper.run(twice, X, training=True)
    np.testing.assert_array_equal(outputs, PRODUCT)
    assert training is True
    np.testing.assert_array_equal(wrapper.layer(X), X @ W)  # the scope is over


def test_arguments_reach_the_layer():
    attention = layers.MultiHeadAttention(1, 2)
    query, value = np.ones((1, 2, 3), "float32"), np.ones((1, 4, 3), "float32")
    attention(query, value)
    wrapper = Masked(attention)
    output, scores = wrapper(query, value, return_attention_scores=True)
    assert output.shape == (1, 2, 3) and scores.shape == (1, 1, 2, 4)


# Masks


def test_masks_start_with_ones_and_are_not_trained():
    wrapper = Masked(dense())
    np.testing.assert_array_equal(wrapper.masks["kernel"], np.ones((2, 3)))
    assert wrapper.trainable_variables == [wrapper.layer.kernel]
    assert wrapper.sparsity == 0.0


def test_setting_a_mask_erases_what_it_removes():
    wrapper = Masked(dense())
    wrapper.set_masks({"kernel": MASK})
    np.testing.assert_array_equal(wrapper.layer.kernel, W * MASK)
    assert wrapper.sparsity == pytest.approx(2 / 6)


def test_masks_left_out_stay():
    model = zoo.CASES["conv_2d"]().model
    wrapper = Masked(model)
    first, second, _ = wrapper.masks
    wrapper.set_masks({first: np.zeros(wrapper.masks[first].shape)})
    wrapper.set_masks({second: np.zeros(wrapper.masks[second].shape)})
    assert not any(wrapper.masks[key].numpy().any() for key in (first, second))


def test_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="'dense/kernel'.*kernel"):
        Masked(dense()).set_masks({"dense/kernel": MASK})


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        Masked(dense()).set_masks({"kernel": MASK.T})


def test_keys_choose_what_is_masked():
    model = zoo.CASES["nested_with_one_name"]().model
    assert list(Masked(model, ["second/same/kernel"]).masks) == ["second/same/kernel"]


class OfOneScale(Effective):
    """w' = w · m · scale · own, where all weights have one scale in common."""

    def share(self, layer):
        return (layer.add_weight(shape=(), initializer="ones", name="scale"),)

    def build(self, layer, name, variable):
        return (layer.add_weight(shape=(), initializer="ones", name=name),)

    def __call__(self, weight, mask, own, scale):
        return weight * mask * own * scale


def test_what_weights_share_is_made_once_and_trained_if_one_of_them_is_plain():
    model = zoo.CASES["conv_2d"]().model
    plain, *others = Masked(model).keys
    wrapper = Masked(model, effective=OfOneScale(), plain=[plain])
    (scale,) = wrapper.shared
    assert all(shared is scale for _, shared in wrapper.own.values())
    trained = [wrapper.own[key][0] for key in others]
    assert {id(v) for v in wrapper.learned} == {id(v) for v in [*trained, scale]}
    assert len(wrapper.learned) == 1 + len(trained)
    assert not wrapper.own[plain][0].trainable and scale.trainable


# As a layer among others


def test_it_builds_the_layer_with_the_model():
    model = keras.Sequential([keras.Input((2,)), Masked(layers.Dense(3))])
    assert list(model.layers[0].masks) == ["kernel"]
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("effective", [None, straight_through])
def test_it_is_saved_and_loaded_with_its_masks(tmp_path, effective):
    wrapper = Masked(dense(), effective=effective)
    model = keras.Sequential([keras.Input((2,)), wrapper])
    wrapper.set_masks({"kernel": MASK})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].masks["kernel"], MASK)
    np.testing.assert_array_equal(loaded(X), PRODUCT)
    assert loaded.layers[0].effective is wrapper.effective


# State of which Keras's layers do not know


class Helper:
    """Holds a variable, and is no layer."""

    def __init__(self):
        self.count = keras.Variable(0.0, trainable=False)


class Counting(layers.Layer):
    """Counts its calls in an object of its own, and adds noise of Keras's own seed."""

    def __init__(self, helper, **options):
        super().__init__(**options)
        self.held = [lambda: helper]  # out of sight

    def call(self, x):
        self.held[0]().count.assign_add(1.0)
        return x + keras.random.uniform(ops.shape(x))


@pytest.mark.parametrize("jit", [None, False])
def test_state_outside_of_the_layers_is_updated_too(jit):
    helper = Helper()
    wrapper = Masked(keras.Sequential([keras.Input((2,)), dense(), Counting(helper)]))
    run = wrapper if jit is None else tf.function(lambda x: wrapper(x, training=True))
    first, second = np.asarray(run(X)), np.asarray(run(X))
    assert (first != second).all() and helper.count == 2


def test_a_layer_that_assigns_its_kernel_is_trained_as_without_masks():
    def network():
        keras.utils.set_random_seed(1)
        inside = layers.SpectralNormalization(layers.Dense(3, name="inside"))
        return keras.Sequential([keras.Input((2,)), inside, layers.Dense(1)])

    plain, wrapped = network(), network()
    model = keras.Sequential([keras.Input((2,)), Masked(wrapped)])
    for each in (plain, model):
        each.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        each.train_on_batch(X, np.ones((2, 1)))
    for one, other in zip(plain.get_weights(), wrapped.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)


@zoo.register
class Centered(layers.Layer):
    """Subtracts a moving average, which it has just updated."""

    def build(self, shape):
        self.average = self.add_weight(shape=(shape[-1],), trainable=False)

    def call(self, x, training=None):
        if training:
            self.average.assign(0.5 * self.average + 0.5 * ops.mean(x, axis=0))
        return x - self.average


@zoo.register
class Warming(layers.Layer):
    """Counts, up to 1.5 at most, in a condition."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        if training:
            more = ops.convert_to_tensor(self.count) < 1
            ops.cond(
                more,
                lambda: self.count.assign(self.count + 0.75),
                lambda: self.count.assign(1.0 * self.count),
            )
        return x * (1 + self.count)


@zoo.register
class RowByRow(layers.Layer):
    """Draws random numbers in a loop."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dropout = layers.Dropout(0.5, seed=1)

    def call(self, x, training=None):
        return ops.map(lambda row: self.dropout(row, training=training), x)


@pytest.mark.parametrize("own", [Centered, Warming, RowByRow])
def test_the_state_of_a_layer_is_updated_as_without_masks(own):
    def network():
        keras.utils.set_random_seed(1)
        stack = [layers.Dense(8, name="first"), own(), layers.Dense(1)]
        return keras.Sequential([keras.Input((2,)), *stack])

    plain, wrapped = network(), network()
    model = keras.Sequential([keras.Input((2,)), Masked(wrapped)])
    losses = []
    for each in (plain, model):
        each.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        losses.append([each.train_on_batch(X, np.ones((2, 1))) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for one, other in zip(plain.variables, wrapped.variables, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5)


def test_values_given_from_outside_are_read():
    wrapper = masked_dense()
    layer = wrapper.layer
    trainable = [2 * v for v in wrapper.trainable_variables]
    outputs, _ = wrapper.stateless_call(trainable, wrapper.non_trainable_variables, X)
    np.testing.assert_array_equal(outputs, 2 * PRODUCT)
    biased = layers.Dense(3, bias_initializer="ones")
    wrapper = Masked(biased)
    wrapper.build((None, 2))
    kernel, bias = (v.value for v in wrapper.trainable_variables)
    outputs, _ = wrapper.stateless_call(
        [kernel, 5 * bias], wrapper.non_trainable_variables, X
    )
    np.testing.assert_allclose(outputs, X @ np.asarray(kernel) + 5, rtol=1e-6)
    np.testing.assert_array_equal(layer.kernel, W)
