"""Inputs that no output depends on: named, and left out on request."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_invprune as kip
from compactions import assert_same_outputs, drawn, outputs, sparse
from keras_invprune.compaction import plan


def compacted(model):
    """The model that picks its inputs, after checks."""
    planned = plan(model, inputs="gather")
    made = kip.compact(model, inputs="gather")
    assert_same_outputs(model, made)
    assert planned.parameters == (model.count_params(), made.count_params())
    assert [x.shape for x in made.inputs] == [x.shape for x in model.inputs]
    assert not plan(made, inputs="gather").changes
    return made


def mlp(shape, *first):
    model = keras.Sequential(
        [
            keras.Input(shape, name="x"),
            *first,
            layers.Dense(4, "relu", name="hidden"),
            layers.Dense(2),
        ]
    )
    kernel = model.get_layer("hidden").kernel
    values = kernel.numpy()
    values[[1, 4]] = 0
    kernel.assign(values)
    return model


def test_dead_features_are_named_and_left_out(tmp_path):
    model = mlp((6,))
    model.layers[-1].trainable = False
    assert plan(model).dead_inputs == {"x": [1, 4]}
    assert kip.compact(model).get_layer("hidden").kernel.shape == (6, 4)
    made = compacted(model)
    assert made.name == model.name
    assert [x.layers[-1].trainable for x in (model, made)] == [False, False]
    expected = model.get_layer("hidden").kernel.numpy()[[0, 2, 3, 5]]
    np.testing.assert_array_equal(made.get_layer("hidden").kernel, expected)
    made.save(tmp_path / "small.keras")
    assert_same_outputs(made, keras.saving.load_model(tmp_path / "small.keras"), 0)
    made.compile("sgd", "mse")
    made.fit(drawn(made, 4), np.zeros((4, 2)), verbose=0)


def test_pixels_are_picked_behind_flatten():
    model = mlp((3, 2, 1), layers.Flatten())
    assert plan(model).dead_inputs == {"x": [1, 4]}
    assert compacted(model).get_layer("hidden").kernel.shape == (4, 4)


def test_a_sparse_input_is_read_whole():
    """Keras picks in dense tensors only, and drawn inputs are dense."""
    x = keras.Input((6,), sparse=True)
    hidden = layers.Dense(4, "sigmoid")
    model = keras.Model(x, layers.Dense(2)(hidden(x)))
    kernel = hidden.kernel.numpy()
    kernel[[1, 4]] = kernel[:, :2] = 0
    hidden.kernel.assign(kernel)
    made = kip.compact(model, inputs="gather")
    assert [x.layers[1].kernel.shape for x in (model, made)] == [(6, 4), (6, 2)]
    rows = tf.sparse.from_dense(np.eye(6, dtype="float32"))
    np.testing.assert_allclose(made(rows), model(rows), atol=1e-6)


def test_maps_lose_whole_channels():
    model = keras.Sequential(
        [keras.Input((5, 5, 3)), layers.Conv2D(4, 2, name="conv"), layers.Flatten()]
    )
    kernel = model.get_layer("conv").kernel
    values = kernel.numpy()
    values[:, :, 1] = 0
    kernel.assign(values)
    made = compacted(model)
    assert made.get_layer("conv").kernel.shape == (2, 2, 2, 4)


def test_several_inputs_and_one_that_is_an_output():
    one, two = keras.Input((4,), name="one"), keras.Input((3,), name="two")
    x = layers.Concatenate()([one, two])
    x = layers.Dense(5, "relu", name="hidden")(x)
    model = keras.Model({"one": one, "two": two}, [layers.Dense(2)(x), two])
    sparse(model, 0.5, 0.5, seed=2)
    made = compacted(model)
    alive = 7 - len(plan(model).dead_inputs["one"])
    assert made.get_layer("hidden").kernel.shape[0] == alive < 7


def test_an_inner_model_reads_what_is_picked():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="in")], name="i")
    kernel = inner.layers[0].kernel
    values = kernel.numpy()
    values[2] = 0
    kernel.assign(values)
    inputs = keras.Input((4,))
    made = compacted(keras.Model(inputs, layers.Dense(2)(inner(inputs))))
    assert made.get_layer("i").input_shape == (None, 3)


def test_nothing_is_picked_where_all_is_read():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    made = kip.compact(model, inputs="gather")
    assert isinstance(made, keras.Sequential)
    np.testing.assert_array_equal(
        outputs(made, drawn(made))[0], outputs(model, drawn(model))[0]
    )


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="'keep' or 'gather'. Received: inputs='drop'"):
        plan(mlp((6,)), inputs="drop")
