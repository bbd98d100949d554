"""The tangent kernel against the Jacobian itself, one output and one row at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_invprune.pruning.tangent import kernel as kernels
from keras_invprune.pruning.tangent import tangent_kernel

ROWS = 6


def shared():
    twice = layers.Dense(4, activation="tanh")
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3)(twice(twice(inputs))))


def frozen():
    first = layers.Dense(5, activation="relu")
    model = keras.Sequential([keras.Input((4,)), first, layers.Dense(3)])
    first.trainable = False
    return model


def normalized():
    norm = layers.BatchNormalization()
    body = [layers.Dense(7), norm, layers.ReLU(), layers.Dense(3, use_bias=False)]
    model = keras.Sequential([keras.Input((4,)), *body])
    norm.moving_mean.assign(np.linspace(-0.5, 0.5, 7))
    norm.moving_variance.assign(np.linspace(0.5, 2.0, 7))
    return model


def normalised_images():
    norms = [layers.BatchNormalization(axis=3), layers.BatchNormalization(scale=False)]
    ends = [layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    model = keras.Sequential(
        [keras.Input((5, 5, 2)), norms[0], layers.Conv2D(3, 2), norms[1], *ends]
    )
    for norm in norms:
        norm.moving_mean.assign(np.linspace(-0.5, 0.5, norm.moving_mean.shape[0]))
        norm.moving_variance.assign(np.linspace(0.5, 2, norm.moving_mean.shape[0]))
    return model


def adapted():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(3)])
    model.layers[0].enable_lora(2)
    for variable in model.layers[0].trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    return model


def positions_among_rows():
    inputs = keras.Input((4, 5))
    x = layers.Dense(6, name="of_all")(keras.ops.reshape(inputs, (-1, 5)))
    x = keras.ops.reshape(layers.Dense(2)(x), (-1, 4, 2))
    return keras.Model(inputs, keras.ops.mean(x, axis=1))


def sequential(shape, *body):
    return lambda: keras.Sequential([keras.Input(shape), *(make() for make in body)])


class Standardized(layers.Conv2D):
    """Its kernel is not what it multiplies by."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - tf.reduce_mean(kernel))


MODELS = {
    "subclass": sequential(
        (5, 5, 1),
        lambda: Standardized(2, 2),
        layers.Flatten,
        lambda: layers.Dense(2),
    ),
    "dense": sequential(
        (4,), lambda: layers.Dense(7, activation="relu"), lambda: layers.Dense(3)
    ),
    "softmax": sequential((4,), lambda: layers.Dense(3, activation="softmax")),
    "dense_of_steps": sequential(
        (4, 2),
        lambda: layers.Dense(3, activation="tanh"),
        layers.Flatten,
        lambda: layers.Dense(2),
    ),
    "convolutions": sequential(
        (8, 8, 2),
        lambda: layers.Conv2D(4, 3, activation="tanh"),
        layers.MaxPooling2D,
        lambda: layers.Conv2D(5, 2, padding="same", strides=2),
        layers.Flatten,
        lambda: layers.Dense(3),
    ),
    "dilated": sequential(
        (9, 9, 1),
        lambda: layers.Conv2D(3, 2, dilation_rate=3, padding="same"),
        layers.GlobalAveragePooling2D,
    ),
    "causal": sequential(
        (8, 2),
        lambda: layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
        layers.GlobalAveragePooling1D,
        lambda: layers.Dense(3),
    ),
    "groups_and_depthwise": sequential(
        (6, 4),
        lambda: layers.Conv1D(4, 2, groups=2),
        lambda: layers.DepthwiseConv1D(2),
        layers.Flatten,
        lambda: layers.Dense(2),
    ),
    "unrolled": sequential(
        (3, 2), lambda: layers.LSTM(3, unroll=True), lambda: layers.Dense(2)
    ),
    "normalized": normalized,
    "normalised_images": normalised_images,
    "normalised_elsewhere": sequential(
        (3, 4),
        lambda: layers.BatchNormalization(axis=1),
        layers.Flatten,
        lambda: layers.Dense(2),
    ),
    "shared": shared,
    "adapted": adapted,
    "frozen": frozen,
    "embedding": sequential(
        (5,),
        lambda: layers.Embedding(4, 3),
        layers.Flatten,
        lambda: layers.Dense(2),
    ),
}


def rows_for(model):
    shape = (ROWS, *model.input_shape[1:])
    if isinstance(model.layers[0], layers.Embedding):
        return np.random.default_rng(0).integers(0, 4, shape)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def jacobian(model, x):
    """[rows, outputs, weights], a row and an output at a time."""
    found = []
    for row in x:
        with tf.GradientTape(persistent=True) as tape:
            outputs = model(row[None], training=False)[0]
            each = [outputs[c] for c in range(outputs.shape[0])]
        for output in each:
            variables = [v.value for v in model.trainable_variables]
            g = tape.gradient(output, variables, unconnected_gradients="zero")
            parts = [np.ravel(tf.convert_to_tensor(part)) for part in g]
            found.append(np.concatenate(parts))
    return np.reshape(found, (len(x), -1, len(found[0])))


# As `tf.function` traces it, and every third model also step by step.
@pytest.mark.parametrize(
    ("name", "traced"),
    [*((name, True) for name in MODELS), *((name, False) for name in [*MODELS][::3])],
)
def test_it_is_the_product_of_the_jacobians_halves(name, traced):
    model = MODELS[name]()
    x = rows_for(model)
    function = tf.function(lambda x: tangent_kernel(model, x))
    f, kernel = function(x) if traced else tangent_kernel(model, x)
    j = jacobian(model, x)
    expected = np.einsum("acp,bdp->abcd", j[: ROWS // 2], j[ROWS // 2 :])
    np.testing.assert_allclose(f, model(x, training=False), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        kernel, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("name", ["dense", "convolutions", "normalised_images"])
def test_common_layers_need_no_products_with_vectors(name, monkeypatch):
    monkeypatch.setattr(kernels, "_by_vectors", None)
    model = MODELS[name]()
    tangent_kernel(model, rows_for(model))


def test_both_contractions_of_positions_agree(monkeypatch):
    g = np.random.default_rng(0)
    a = [g.normal(size=(3, 4, 5)).astype("float32") for _ in range(2)]
    d = [g.normal(size=(2, 3, 4, 6)).astype("float32") for _ in range(2)]
    a, d = map(list, (map(tf.constant, a), map(tf.constant, d)))
    expected = np.einsum("bpi,cbpo,aqi,daqo->bacd", a[0], d[0], a[1], d[1])
    found = []
    for chosen in (kernels._through_positions, kernels._through_jacobian):
        found.append(chosen(*a, *d))
        np.testing.assert_allclose(found[-1], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kernels._product(*a, *d), expected, rtol=1e-4, atol=1e-4)


def test_its_gradient_is_that_of_the_definition():
    model = MODELS["convolutions"]()
    x = rows_for(model)
    variable = model.layers[0].kernel

    def loss():
        return float(tf.reduce_sum(tangent_kernel(model, x)[1] ** 2))

    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tangent_kernel(model, x)[1] ** 2)
    found = tape.gradient(value, variable.value).numpy()[0, 0, 0, 0]
    before, step = variable.numpy(), 1e-2
    sides = []
    for sign in (1, -1):
        moved = before.copy()
        moved[0, 0, 0, 0] += sign * step
        variable.assign(moved)
        sides.append(loss())
    assert found == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=2e-2)


def test_an_odd_last_row_is_left_out():
    model = MODELS["dense"]()
    x = rows_for(model)
    _, even = tangent_kernel(model, x[:4])
    _, odd = tangent_kernel(model, x[:5])
    np.testing.assert_allclose(odd, even, rtol=1e-5)


def test_the_model_is_left_as_it_was():
    model = normalized()
    before = model.get_weights()
    activations = [getattr(layer, "activation", None) for layer in model.layers]
    tangent_kernel(model, rows_for(model))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    after = [getattr(layer, "activation", None) for layer in model.layers]
    assert all(a is b for a, b in zip(activations, after, strict=True))
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_loop_is_refused_with_the_way_out():
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(3, name="loop")])
    with pytest.raises(ValueError, match="'loop'.*unroll=True"):
        tangent_kernel(model, rows_for(model))


def test_outputs_that_are_no_rows_are_refused():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 1)])
    with pytest.raises(ValueError, match="Flatten or pool"):
        tangent_kernel(model, rows_for(model))


def test_a_layer_whose_rows_are_not_the_batch_s_is_named():
    model = positions_among_rows()
    message = "'of_all' with 24 rows where the batch has 6"
    with pytest.raises(ValueError, match=message):
        tangent_kernel(model, rows_for(model))
    with pytest.raises(ValueError, match=message):
        tf.function(lambda x: tangent_kernel(model, x))(rows_for(model))
