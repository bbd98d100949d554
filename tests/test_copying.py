"""A copy is the model again, and shares nothing with it."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_invprune.copying import copy_model
from keras_invprune.weights import walk, weights_by_key


def test_it_shares_no_layer_and_no_variable():
    model = zoo.subclassed().model
    copied = copy_model(model)
    assert not {id(v) for v in copied.variables} & {id(v) for v in model.variables}
    assert not {id(e) for _, e in walk(copied)} & {id(e) for _, e in walk(model)}


@pytest.mark.parametrize("name", ["subclassed", "subclass_of_functional", "dense"])
def test_it_is_of_the_same_class_with_the_same_weights(name):
    model = zoo.CASES[name]().model
    copied = copy_model(model)
    assert type(copied) is type(model) and copied.name == model.name
    found, expected = weights_by_key(copied), weights_by_key(model)
    assert list(found) == list(expected)
    for key, (_, variable) in expected.items():
        np.testing.assert_array_equal(found[key].variable, variable)


def test_it_is_not_compiled_whatever_the_loss():
    def unregistered_loss(y, prediction):
        return keras.ops.mean(keras.ops.square(prediction))

    model, x, y, *_ = zoo.dense()
    model.compile("adam", unregistered_loss)
    model.fit(x, y, verbose=0)
    assert not copy_model(model).compiled
    assert model.compiled and model.optimizer.iterations == 1


def test_it_keeps_the_precision_under_any_global_policy():
    model = zoo.mixed_float16().model
    copied = copy_model(model)
    assert copied.dtype_policy == model.dtype_policy
    assert copied.layers[-1].compute_dtype == "float16"


def test_it_keeps_what_layers_have_learned_beside_weights():
    lookup = layers.StringLookup()
    lookup.adapt(["a", "b", "b"])
    embed = layers.Embedding(lookup.vocabulary_size(), 2)
    model = keras.Sequential([keras.Input((1,), dtype="string"), lookup, embed])
    x = keras.ops.convert_to_tensor([["b"], ["a"], ["c"]])
    np.testing.assert_array_equal(copy_model(model)(x), model(x))


def test_custom_classes_need_not_be_registered():
    class Scale(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", initializer="ones")

        def call(self, x):
            return x * self.scale

    inner = keras.Sequential([keras.Input((3,)), Scale()])
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(2)])
    copied = copy_model(model)
    assert type(copied.layers[0].layers[0]) is Scale


def sequential(function):
    layer = layers.Lambda(function)
    return keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])


def functional(function):
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(2)(layers.Lambda(function)(inputs)))


@pytest.mark.parametrize("make", [sequential, functional])
def test_the_callers_lambdas_are_trusted(make):
    model = make(lambda x: 2.0 * x)
    np.testing.assert_array_equal(
        copy_model(model)(zoo.floats(3)), model(zoo.floats(3))
    )


@pytest.mark.parametrize("make", [sequential, functional])
def test_a_lambda_that_cannot_be_loaded_is_refused(make):
    model = make(lambda x: np.pi * x)
    with pytest.raises(ValueError, match="(?s)cannot be rebuilt.*[lL]ambda"):
        copy_model(model)


def test_the_error_says_what_to_do():
    model = zoo.unregistered().model
    with pytest.raises(ValueError) as error:
        copy_model(model)
    message = str(error.value)
    assert "Model 'unregistered' (Unregistered) cannot be rebuilt" in message
    assert "`get_config`, register" in message
    assert "copy=False (its weights will change)" in message
    assert "must override `get_config()`" in message  # Keras's own words


@pytest.mark.parametrize("name", ["subclassed", "nested_with_one_name", "dense"])
def test_what_is_frozen_stays_frozen(name):
    model = zoo.CASES[name]().model
    layers = [layer for path, layer in walk(model) if path and layer.weights]
    layers[0].trainable = False
    frozen = {path for path, layer in walk(model) if not layer.trainable}
    copied = copy_model(model)
    assert {path for path, layer in walk(copied) if not layer.trainable} == frozen
    assert len(copied.trainable_weights) == len(model.trainable_weights)
