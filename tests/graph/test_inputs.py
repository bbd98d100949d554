"""What Keras makes of data before a model's call is what `standardized` makes of it."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_invprune.graph.inputs import input_structure, input_tensors, standardized

RNG = np.random.default_rng(0)
IMAGES, ROWS = RNG.random((4, 8, 8)), RNG.random((4, 3))
PIXELS = RNG.integers(0, 256, (4, 8, 8, 1)).astype("uint8")


def passes_on(structure):
    """A model that gives out what Keras passes to its layers."""
    given = keras.tree.map_structure(layers.Identity(), structure)
    return keras.Model(structure, given)


def pair(wrap):
    return wrap(keras.Input((3,), name="b"), keras.Input((1,), name="a"))


def as_list(*inputs):
    return list(inputs)


def as_dict(*inputs):
    return {tensor.name: tensor for tensor in inputs}


CASES = {
    "no axis of channels": (keras.Input((8, 8, 1)), IMAGES),
    "an axis too many": (keras.Input((8, 8)), IMAGES[..., None]),
    "numbers": (keras.Input((1,)), ROWS[:, 0]),
    "8 bits": (keras.Input((8, 8, 1)), PIXELS),
    "8 bits for 8 bits": (keras.Input((8, 8, 1), dtype="uint8"), PIXELS),
    "integers": (keras.Input((3,)), np.arange(12).reshape(4, 3)),
    "a list of one": (keras.Input((3,)), [ROWS]),
    "a dictionary of one": (keras.Input((3,), name="row"), {"row": ROWS}),
    "a model of a list of one": ([keras.Input((3,))], ROWS),
    "a list": (pair(as_list), [ROWS, ROWS[:, 0]]),
    "a tuple": (pair(as_list), (ROWS, ROWS[:, :1])),
    "a dictionary for a list": (pair(as_list), {"a": ROWS[:, 0], "b": ROWS}),
    "more than is taken": (pair(as_list), {"a": ROWS[:, 0], "b": ROWS, "c": ROWS}),
    "a dictionary": (pair(as_dict), {"a": ROWS[:, 0], "b": ROWS}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
def test_it_is_what_keras_passes_to_the_layers(name):
    structure, x = CASES[name]
    model = passes_on(structure)
    expected, found = model(x), standardized(input_structure(model), x)
    keras.tree.assert_same_structure(found, structure)
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_is_left_to_keras():
    structure = keras.Input((3,), name="row")
    for x in ({"column": ROWS}, [ROWS, ROWS], "text"):
        assert standardized(structure, x) is x
    assert standardized((), ROWS) is ROWS  # a model whose inputs are not known


def test_floats_in_the_place_of_integers_are_rounded():
    structure = keras.Input((2,), dtype="uint8")
    found = standardized(structure, np.array([[1.6, 254.9]], "float32"))
    np.testing.assert_array_equal(found, [[2, 255]])


def test_inputs_of_graphs_and_subclassed_models():
    def shapes(name):
        return [tuple(t.shape) for t in input_tensors(zoo.CASES[name]().model)]

    assert shapes("dense") == [(None, 4)]
    assert shapes("several_inputs") == [(None, 4), (None, 3)]
    assert shapes("subclassed") == [(zoo.ROWS, 4)]
    assert shapes("subclassed_of_dict") == [(zoo.ROWS, 4), (zoo.ROWS, 3)]
