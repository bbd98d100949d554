"""The embedding is what the head reads, or what the layer named gives out."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import zoo
from keras_invprune.objectives.embedding import PROPOSED, embedder

WITH_HEAD = ["dense", "conv_2d", "attention", "several_inputs", "dict_of_inputs"]
WITH_HEAD += ["operations", "nested_with_one_name", "subclass_of_functional"]
UNNAMED = ["several_outputs", "subclassed", "unregistered", "subclassed_of_dict"]
UNNAMED += ["without_shapes"]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", WITH_HEAD)
def test_the_head_makes_the_outputs_of_the_embedding(name):
    model, x = zoo.CASES[name]()[:2]
    outputs, features = embedder(model)(x)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-6)
    head = model.get_layer("head")
    assert features.shape == (zoo.ROWS, head.kernel.shape[0])
    again = softmax(features.numpy() @ head.kernel.numpy() + head.bias.numpy())
    if name == "operations":
        again = softmax(again)
    np.testing.assert_allclose(again, outputs, rtol=1e-5)


def test_the_embedding_is_the_input_of_the_head():
    model, x = zoo.CASES["dense"]()[:2]
    _, features = embedder(model)(x)
    kernel, bias = (v.numpy() for v in model.layers[0].weights)
    np.testing.assert_allclose(features, np.maximum(x @ kernel + bias, 0), rtol=1e-5)


def test_a_head_that_was_called_elsewhere_is_found_by_its_call_here():
    body, head = layers.Dense(6), layers.Dense(3)
    keras.Sequential([keras.Input((4,)), body, head])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, head(body(2 * inputs)))
    _, features = embedder(model)(zoo.floats(4))
    np.testing.assert_allclose(features, body(2 * zoo.floats(4)), rtol=1e-5)


def test_a_head_that_is_called_twice_must_be_named():
    head, inputs = layers.Dense(3), [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.ops.abs(head(inputs[0]) - head(inputs[1])))
    with pytest.raises(ValueError, match=r"Invariance\(embedding="):
        embedder(model)


def test_outputs_keep_their_structure():
    inputs = keras.Input((4,))
    x = layers.Dense(5)(inputs)
    model = keras.Model(inputs, {"kind": layers.Dense(3)(x)})
    outputs, _ = embedder(model)(zoo.floats(4))
    assert list(outputs) == ["kind"]


@pytest.mark.parametrize("jit", [False, True])
def test_a_layer_can_be_named(jit):
    model, x = zoo.CASES["subclassed"]()[:2]
    embed = tf.function(embedder(model, "first"), jit_compile=jit)
    outputs, features = embed(x)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-5)
    np.testing.assert_allclose(features, model.first(x), rtol=1e-5)


def test_a_path_names_a_layer_inside_an_inner_model():
    model, x = zoo.CASES["nested_with_one_name"]()[:2]
    _, features = embedder(model, "first/same")(x)
    np.testing.assert_allclose(features, model.get_layer("first")(x), rtol=1e-6)
    _, features = embedder(model, "second")(x)
    expected = model.get_layer("second")(model.get_layer("first")(x))
    np.testing.assert_allclose(features, expected, rtol=1e-6)


def test_a_sequential_inside_can_be_named():
    inner = keras.Sequential([layers.Dense(3), layers.ReLU()], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    _, features = embedder(model, "inner")(zoo.floats(4))
    np.testing.assert_allclose(features, inner(zoo.floats(4)), rtol=1e-6)


def test_maps_are_flattened():
    model, x = zoo.CASES["conv_2d"]()[:2]
    _, features = embedder(model, model.layers[0].name)(x)
    assert features.shape == (zoo.ROWS, 4 * 4 * 2)


def test_naming_a_layer_keeps_its_activity_loss():
    model, x = zoo.CASES["regularizers"]()[:2]
    layer = model.layers[0]
    regularizer = layer.activity_regularizer
    model(x)
    expected = [float(loss) for loss in model.losses]
    embedder(model, layer.name)(x)
    assert [float(loss) for loss in model.losses] == pytest.approx(expected)
    assert layer.activity_regularizer is regularizer


def test_a_failing_call_leaves_the_layer_as_it_was():
    model = zoo.CASES["dense"]().model
    with pytest.raises(ValueError):
        embedder(model, model.layers[0].name)(zoo.floats(7))
    assert model.layers[0].activity_regularizer is None


def test_the_training_argument_arrives():
    model, x = zoo.CASES["batch_norm_and_dropout"]()[:2]
    for embedding in (None, "dropout"):
        embed = embedder(model, embedding)
        assert np.any(embed(x, training=True)[1] == 0.0)
        assert not np.any(embed(x, training=False)[1] == 0.0)


def test_a_callable_is_asked_for_both():
    def embedding(model, inputs, training):
        return model(inputs, training=training), inputs

    model, x = zoo.CASES["dense"]()[:2]
    _, features = embedder(model, embedding)(x)
    np.testing.assert_array_equal(features, x)


# Networks without a Dense layer at the end


def u_net(size=16):
    """Encoder and decoder with skips; one pooling layer is called twice."""
    convolve = functools.partial(layers.Conv2D, padding="same", activation="relu")
    inputs, pool = keras.Input((size, size, 1)), layers.MaxPooling2D()
    first = convolve(3, 3)(inputs)
    second = convolve(4, 3)(pool(first))
    h = convolve(6, 3)(pool(second))
    h = convolve(5, 3, name="bottleneck")(h)
    for skip in (second, first):
        h = layers.Concatenate()([layers.UpSampling2D()(h), skip])
        h = convolve(4, 3)(h)
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(h))


def convolutional_autoencoder():
    down = layers.Conv2D(4, 3, strides=2, padding="same")
    up = layers.Conv2DTranspose(1, 3, strides=2, padding="same")
    dense = [layers.Dense(6, name="code"), layers.Dense(64), layers.Reshape((4, 4, 4))]
    return keras.Sequential(
        [keras.Input((8, 8, 1)), down, layers.Flatten(), *dense, up]
    )


def network_in_network():
    last = [layers.Conv2D(5, 1), layers.GlobalAveragePooling2D(), layers.Softmax()]
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")
    return keras.Sequential([keras.Input((8, 8, 1)), maps, *last])


def sloped():
    """Slopes of PReLU, one for each number, are between the logits and the output."""
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")
    last = [layers.Conv2D(5, 1), layers.PReLU(), layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((8, 8, 1)), maps, *last])


def mobile_net(make, **options):
    return make((32, 32, 3), weights=None, classes=3, **options)


# The embedding is what comes out of one layer, or goes into another.
WITHOUT_DENSE = {
    "MobileNet": (
        lambda: mobile_net(keras.applications.MobileNet, alpha=0.25),
        lambda model: model.get_layer("conv_preds").input,
    ),
    "MobileNetV3": (
        lambda: mobile_net(
            keras.applications.MobileNetV3Small, alpha=0.75, minimalistic=True
        ),
        lambda model: model.get_layer("logits").input,
    ),
    "U-Net": (u_net, lambda model: model.get_layer("bottleneck").output),
    "U-Net of any size": (
        lambda: u_net(None),
        lambda model: model.get_layer("bottleneck").output,
    ),
    "autoencoder": (
        convolutional_autoencoder,
        lambda model: model.get_layer("code").output,
    ),
    "slopes behind the logits": (
        sloped,
        lambda model: model.get_layer("maps").output,
    ),
    "network in network": (
        network_in_network,
        lambda model: model.get_layer("maps").output,
    ),
}


@pytest.mark.parametrize("name", WITHOUT_DENSE)
def test_networks_without_a_dense_layer_at_the_end_have_a_default(name):
    make, wanted = WITHOUT_DENSE[name]
    model = make()
    x = 9 * zoo.floats(*[length or 16 for length in model.input_shape[1:]])
    outputs, features = embedder(model)(x)
    read = keras.Model(model.inputs[0], wanted(model))(x)
    read = np.reshape(read, (len(x), -1))
    np.testing.assert_allclose(outputs, model(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(features, read, rtol=1e-5, atol=1e-6)
    assert np.std(features) > 0


# Refusals


def test_only_a_few_layers_are_proposed():
    model = keras.applications.ResNet50(
        input_shape=(32, 32, 3), weights=None, include_top=False
    )
    with pytest.raises(ValueError, match=r"Invariance\(embedding=") as error:
        embedder(model)
    candidates = re.search(r"Candidates: \[(.*)\]", str(error.value))[1].split(", ")
    assert len(candidates) == PROPOSED
    for name in candidates:
        embedder(model, name.strip("'"))


@pytest.mark.parametrize("name", UNNAMED)
def test_it_must_be_named_where_it_is_not_clear(name):
    model = zoo.CASES[name]().model
    with pytest.raises(
        ValueError, match="embedding=.*Candidates:.*'(body|first|each)'"
    ):
        embedder(model)


def test_a_head_inside_an_inner_model_must_be_named():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model = keras.Sequential([keras.Input((4,)), inner])
    with pytest.raises(ValueError, match=f"embedding=.*'{inner.name}/"):
        embedder(model)


@pytest.mark.parametrize("path", ["fist", "", "first/other", "Firsts"])
def test_an_unknown_name_is_refused_with_one_that_is_near(path):
    model = zoo.CASES["subclassed"]().model
    with pytest.raises(ValueError, match="path of a layer.*'(first|blocks_1_0)'"):
        embedder(model, path)


def test_a_layer_that_is_never_called_is_refused():
    class Idle(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.idle = layers.Dense(2), layers.Dropout(0.5)

        def call(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="'idle', which it does not call"):
        embedder(Idle(), "idle")(zoo.floats(4))


def test_an_inner_model_that_ends_in_an_operation_is_refused():
    inputs = keras.Input((4,))
    outputs = keras.ops.relu(layers.Dense(3)(inputs))
    inner = keras.Model(inputs, outputs, name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    with pytest.raises(ValueError, match="'inner', which ends in the operation 'relu'"):
        embedder(model, "inner")


def test_each_replica_sees_its_own_embedding(strategy):
    with strategy.scope():
        parts = [
            layers.Dense(3, name="first"),
            layers.BatchNormalization(synchronized=True),  # where replicas take turns
            layers.Dense(4, name="named"),
        ]
        model = keras.Sequential([keras.Input((5,)), *parts, layers.Dense(2)])
    own, embed = model.get_layer("named").activity_regularizer, embedder(model, "named")
    rows = [zoo.floats(5), 3 * zoo.floats(5) + 1]
    each = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group])
    )
    run = tf.function(lambda x: strategy.run(lambda x: embed(x, training=True), (x,)))
    _, features = run(each)
    first, second = (f.numpy() for f in strategy.experimental_local_results(features))
    assert not np.allclose(first, second)
    assert model.get_layer("named").activity_regularizer is own


@pytest.mark.parametrize("image", [False, True])
def test_the_embedding_of_a_dense_autoencoder_is_its_code(image):
    dense = keras.layers.Dense
    body = [dense(8, "relu"), dense(2, name="z"), dense(8, "relu"), dense(16)]
    if image:
        body = [keras.layers.Flatten(), *body, keras.layers.Reshape((4, 4, 1))]
    shape = (4, 4, 1) if image else (16,)
    model = keras.Sequential([keras.Input(shape), *body])
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    encoder = keras.Model(model.inputs[0], model.get_layer("z").output)
    np.testing.assert_allclose(embedder(model)(x)[1], encoder(x), rtol=1e-5)


def test_a_classifier_with_as_many_classes_as_features_has_no_code():
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((4,)), dense(8, name="e"), dense(4)])
    x = np.ones((3, 4), "float32")
    encoder = keras.Model(model.inputs[0], model.get_layer("e").output)
    np.testing.assert_allclose(embedder(model)(x)[1], encoder(x), rtol=1e-5)
