"""The calls that a graph is made of."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import zoo
from keras_invprune.graph.trace import (
    calls_its_graph,
    entered,
    entry_layers,
    named,
    traced,
    unfolded,
)
from keras_invprune.graph.weights import is_graph


def names(steps):
    return [step.operation.name for step in steps]


def assert_chain(steps, inputs, outputs):
    """Each reads what the one before it has made."""
    reads = [step.reads for step in steps]
    made = [step.made for step in steps]
    before = [[inputs], *made[:-1]]
    assert all(a is b for (a,), (b,) in zip(reads, before, strict=True))
    assert made[-1][0] is outputs


def test_each_call_is_a_step():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    x = ops.relu(shared(shared(inputs)))
    trace = traced(keras.Model(inputs, layers.Dense(2, name="head")(x)))
    assert trace.inputs is inputs
    assert names(trace.steps) == ["shared", "shared", "relu", "head"]
    assert_chain(trace.steps, trace.inputs, trace.outputs)


def test_tensors_are_those_of_this_graph():
    first, second = layers.Dense(4, name="first"), layers.Dense(4, name="second")
    other = keras.Sequential([keras.Input((4,)), second, first])
    model = keras.Sequential([keras.Input((4,)), first, second])
    trace = traced(model)
    assert names(trace.steps) == ["first", "second"] and other.built
    assert_chain(trace.steps, trace.inputs, trace.outputs)


def test_inner_models_are_unfolded():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a")], name="in")
    outer = keras.Sequential([keras.Input((4,)), inner], name="out")
    trace = traced(keras.Sequential([keras.Input((4,)), layers.ReLU(name="r"), outer]))
    assert names(trace.steps) == ["r", "out"]
    steps = list(unfolded(trace.steps))
    assert names(steps) == ["r", "a", "in", "out"]
    assert_chain(steps, trace.inputs, trace.outputs)


def test_inner_models_are_entered_by_their_doors():
    inner = keras.Sequential(
        [keras.Input((4,), name="door"), layers.Dense(3, name="a")], name="in"
    )
    trace = traced(keras.Sequential([keras.Input((4,)), layers.ReLU(name="r"), inner]))
    steps = list(entered(trace.steps))
    found = [step.operation and step.operation.name for step in steps]
    assert found == ["r", "door", "a", None]
    assert steps[1].operation is entry_layers(inner)[0]
    assert_chain(steps, trace.inputs, trace.outputs)
    for step in steps:  # the arguments hold what is read
        assert step.arguments[0][0] is step.reads[0]


def test_a_model_that_does_more_than_its_graph_is_not_entered():
    class Own(keras.Model):
        def call(self, x):
            return super().call(x) + 1

    inputs = keras.Input((4,))
    own = Own(inputs, layers.Dense(3)(inputs), name="own")
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(4)], name="plain")
    assert not calls_its_graph(own) and calls_its_graph(plain)
    x = keras.Input((4,))
    steps = traced(keras.Model(x, own(plain(x, training=True)))).steps
    assert names(entered(steps)) == ["plain", "own"]


def test_unknown_lengths_can_be_assumed():
    convolve = layers.Conv2D(2, 3, strides=2, padding="same")
    model = keras.Sequential([keras.Input((None, None, 1)), convolve])
    assert traced(model).outputs.shape == (None, None, None, 2)
    assert traced(model, 10).outputs.shape == (None, 5, 5, 2)


@pytest.mark.parametrize("name", ["dict_of_inputs", "several_outputs"])
def test_structures_are_kept(name):
    model = zoo.CASES[name]().model
    for assumed in (None, 8):
        trace = traced(model, assumed)
        keras.tree.assert_same_structure(trace.inputs, model.input)
        keras.tree.assert_same_structure(trace.outputs, model.output)


def test_a_model_stays_as_it_was():
    seen = []
    for name, make in zoo.CASES.items():
        model, x, *_ = make()
        if not is_graph(model):
            continue
        config, before = model.get_config(), model(x)
        traced(model)
        assert model.get_config() == config, name
        keras.tree.map_structure(np.testing.assert_array_equal, before, model(x))
        seen.append(name)
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("equation", "lengths"), [("abc,cd->abd", (None, 6)), ("abc,cd->adb", (6, None))]
)
def test_lengths_that_an_equation_leaves_open_are_found(equation, lengths):
    layer = layers.EinsumDense(equation, lengths)
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, ops.relu(layer(inputs)))
    expected, before = tuple(length or 4 for length in lengths), {**vars(layer)}
    for step in traced(model).steps:
        assert step.made[0].shape[1:] == expected
    assert vars(layer).keys() == before.keys()
    assert layer.partial_output_shape == before["partial_output_shape"]


class First(layers.EinsumDense):
    """The first row of what an EinsumDense makes."""

    def call(self, inputs):
        return super().call(inputs)[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 6)


def test_a_class_of_its_own_says_itself_what_it_makes_of_an_equation():
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, First("abc,cd->abd", (None, 6))(inputs))
    assert traced(model).outputs.shape == (None, 6)


def test_arguments_are_known_by_name():
    layer = layers.MultiHeadAttention(1, 2)
    assert named(layer, ((1, 2), {"use_causal_mask": True})) == {
        "query": 1,
        "value": 2,
        "use_causal_mask": True,
    }
    assert named(layers.Dropout(0.5), ((1, True), {}))["training"] is True
    assert named(None, ((1,), {})) == {}
