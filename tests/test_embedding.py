"""The embedding is what the head reads, or what the layer named gives out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import zoo
from keras_invprune.embedding import embedder, input_tensors

WITH_HEAD = ["dense", "conv_2d", "attention", "several_inputs", "dict_of_inputs"]
WITH_HEAD += ["operations", "nested_with_one_name", "subclass_of_functional"]
UNNAMED = ["several_outputs", "subclassed", "unregistered", "subclassed_of_dict"]


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


# Refusals


@pytest.mark.parametrize("name", UNNAMED)
def test_it_must_be_named_where_it_is_not_clear(name):
    model = zoo.CASES[name]().model
    with pytest.raises(ValueError, match="must be named.*Candidates:.*'(body|first)'"):
        embedder(model)


def test_a_head_inside_an_inner_model_must_be_named():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model = keras.Sequential([keras.Input((4,)), inner])
    with pytest.raises(ValueError, match=f"must be named.*'{inner.name}/"):
        embedder(model)


@pytest.mark.parametrize("path", ["bdy", "", "first/other"])
def test_an_unknown_name_is_refused_with_those_known(path):
    model = zoo.CASES["subclassed"]().model
    with pytest.raises(ValueError, match="names no layer.*'first'"):
        embedder(model, path)


def test_a_layer_that_is_never_called_is_refused():
    class Idle(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.idle = layers.Dense(2), layers.Dropout(0.5)

        def call(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="never reaches layer 'idle'"):
        embedder(Idle(), "idle")(zoo.floats(4))


def test_an_inner_model_that_ends_in_an_operation_is_refused():
    inputs = keras.Input((4,))
    outputs = keras.ops.relu(layers.Dense(3)(inputs))
    inner = keras.Model(inputs, outputs, name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    with pytest.raises(ValueError, match="'relu', which is no layer.*'inner'"):
        embedder(model, "inner")


# Inputs


def test_inputs_of_graphs_and_subclassed_models():
    def shapes(name):
        return [tuple(t.shape) for t in input_tensors(zoo.CASES[name]().model)]

    assert shapes("dense") == [(None, 4)]
    assert shapes("several_inputs") == [(None, 4), (None, 3)]
    assert shapes("subclassed") == [(zoo.ROWS, 4)]
    assert shapes("subclassed_of_dict") == [(zoo.ROWS, 4), (zoo.ROWS, 3)]


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
