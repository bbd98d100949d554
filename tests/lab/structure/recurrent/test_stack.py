"""A stack of networks against the Keras model of each, weight by weight."""

import functools

import keras
import networkx as nx
import numpy as np
import pytest

from keras_invprune.priors import layered
from keras_invprune.priors.recurrent import Tokens, recurrent
from keras_invprune_lab.structure.recurrent.cells import CELLS
from keras_invprune_lab.structure.recurrent.stack import Stack, drawn
from keras_invprune_lab.structure.recurrent.training import CLIP, Training, lengths

VOCABULARY, STEPS, BATCH, ROWS = 6, 5, 4, 12
LOTS = np.random.default_rng(0)
X, Y = LOTS.integers(1, VOCABULARY, (ROWS, STEPS)), LOTS.integers(0, 2, ROWS)
LENGTHS = np.tile([2, 3, 4, 5, 4, 3], 2)
X[np.arange(STEPS) >= LENGTHS[:, None]] = 0  # at the end, as Reber strings have them


# Three layers each, of different widths; the first and the last have a skip.
GRAPHS = [
    nx.Graph([(0, 2), (1, 2), (2, 3), (0, 3), (2, 4)]),
    nx.Graph([(0, 1), (1, 2)]),
    nx.Graph([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 4)]),
]


def graphs():
    return [layered(graph) for graph in GRAPHS]


def model_of(graph, cell, weights):
    """The Keras model of a graph with these weights."""
    kind = CELLS[cell]
    model = recurrent(
        graph, Tokens(VOCABULARY), 2, cell=kind.keras, activation=kind.activation
    )
    for weight, name in zip(model.weights, names_of(model), strict=True):
        weight.assign(weights[name])
    assert set(names_of(model)) == weights.keys()
    return model


def names_of(model):
    return [f"{w.path.split('/')[0]}/{w.name}" for w in model.weights]


def longest(batch):
    """The rows of a batch, as long as the longest."""
    return batch[:, : (batch != 0).sum(axis=1).max()]


plain = functools.partial(Training, x=X, y=Y, jit_compile=False)


@pytest.fixture(scope="module", params=CELLS)
def trained(request):
    """A cell, the weights, the stack's program and its gradients for a batch."""
    cell, each = request.param, graphs()
    stack = Stack(each, cell, VOCABULARY)
    weights = [drawn(layers, cell, VOCABULARY, n) for n, layers in enumerate(each)]
    # XLA takes seconds for each cell.
    training = Training(stack, weights, X, Y, jit_compile=cell == "gru")
    rows = np.stack(
        [np.random.default_rng(n).permutation(ROWS)[:BATCH] for n in range(3)]
    )
    assert set(LENGTHS[rows].max(axis=1)) == {4, 5}  # each network's own
    slopes = training.gradients(rows)
    before = {name: v.numpy() for name, v in training.variables.items()}
    losses = training.step(rows)
    return cell, weights, stack, rows, slopes, before, losses, training


def test_packing_is_undone_by_unpacking(trained):
    _, weights, stack, *_ = trained
    for found, given in zip(
        stack.unpacked(stack.packed(weights)), weights, strict=True
    ):
        assert found.keys() == given.keys()
        for name, value in given.items():
            np.testing.assert_array_equal(found[name], value)


def test_outputs_gradients_and_the_step_are_those_of_keras(trained):
    import tensorflow as tf

    cell, weights, stack, rows, slopes, _, losses, training = trained
    found, after = stack.unpacked(slopes), training.weights()
    for n, graph in enumerate(GRAPHS):
        model = model_of(graph, cell, weights[n])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        with tf.GradientTape() as tape:
            value = loss(Y[rows[n]], model(longest(X[rows[n]])))
        np.testing.assert_allclose(losses[n], value.numpy(), rtol=1e-5)
        own = names_of(model)
        gradients = tape.gradient(value, [w.value for w in model.trainable_weights])
        gradients = [tf.convert_to_tensor(g).numpy() for g in gradients]
        # Keras removes what a graph does not have after the step.
        gradients = [
            g * (weights[n][name] != 0) if name.endswith("/kernel") else g
            for name, g in zip(own, gradients, strict=True)
        ]
        for name, gradient in zip(own, gradients, strict=True):
            np.testing.assert_allclose(
                found[n][name], gradient, atol=2e-6, err_msg=name
            )
        keras.optimizers.Adam(1e-3, global_clipnorm=CLIP).apply(
            [tf.constant(g) for g in gradients], model.trainable_weights
        )
        for name, weight in zip(own, model.trainable_weights, strict=True):
            # Adam's first step is ±1e-3 wherever a gradient is not tiny.
            sure = np.abs(found[n][name]) > 1e-4
            np.testing.assert_allclose(
                after[n][name][sure], weight.numpy()[sure], atol=1e-5, err_msg=name
            )


def test_what_is_not_in_a_graph_stays_zero(trained):
    _, _, stack, _, slopes, before, _, training = trained
    there = stack.packed(
        [{k: np.ones_like(v) for k, v in one.items()} for one in training.weights()]
    )
    for name, mask in stack.masks.items():
        there[name] = there[name] * mask
    for name, variable in training.variables.items():
        off = there[name] == 0
        for values in (before[name], slopes[name], variable.numpy()):
            assert not values[off].any(), name
    assert sum(int(values.sum()) for values in there.values()) == sum(
        stack.sizes_by_network()
    )


def test_a_network_that_diverges_reaches_no_other():
    each = graphs()
    weights = [drawn(layers, "relu", VOCABULARY, n) for n, layers in enumerate(each)]
    rows = np.tile(np.arange(BATCH), (3, 1))
    alone = plain(Stack(each, "relu", VOCABULARY), weights)
    alone.step(rows)
    weights[1] = {name: value + np.nan for name, value in weights[1].items()}
    together = plain(Stack(each, "relu", VOCABULARY), weights)
    assert list(np.isnan(together.step(rows))) == [False, True, False]
    for n in (0, 2):
        for name, value in alone.weights()[n].items():
            np.testing.assert_array_equal(together.weights()[n][name], value)


def test_gradients_are_clipped_network_by_network():
    each = graphs()
    stack = Stack(each, "tanh", VOCABULARY)
    weights = [drawn(layers, "tanh", VOCABULARY, n) for n, layers in enumerate(each)]
    training = plain(stack, weights)
    large = [
        {name: np.full_like(value, scale) for name, value in one.items()}
        for one, scale in zip(training.weights(), (1e-3, 10.0, 1.0), strict=True)
    ]
    norms = [np.sqrt(sum((v**2).sum() for v in one.values())) for one in large]
    factors = training._clipping(stack.packed(large)).numpy()
    np.testing.assert_allclose(
        factors, np.minimum(1, CLIP / np.array(norms)), rtol=1e-5
    )
    assert factors[0] == 1 and factors[1] < 1


def test_accuracy_counts_each_row_once(trained):
    *_, training = trained
    outputs = training.stack.logits(
        training.variables, np.repeat(X[None, :7], 3, axis=0), np.full(3, STEPS)
    ).numpy()
    expected = (outputs.argmax(axis=-1) == Y[:7]).mean(axis=1)
    np.testing.assert_allclose(training.accuracy(X[:7], Y[:7]), expected)


def test_zeros_after_the_longest_string_change_nothing(trained):
    *_, training = trained
    rows, labels = X[LENGTHS < 4], Y[LENGTHS < 4]
    assert len(rows) == 6 and not rows[:, 3:].any()
    wider = np.pad(rows, [(0, 0), (0, 3)])
    given = rows[:, :3], rows, wider
    assert [list(lengths(x)) for x in given] == [list(LENGTHS[LENGTHS < 4])] * 3
    found = [training.accuracy(x, labels) for x in given]
    np.testing.assert_array_equal(found, [found[0]] * 3)
    first, *others = (training._logits(x, lengths(x).max()).numpy() for x in given)
    for logits in others:
        np.testing.assert_allclose(logits, first, atol=1e-6)
    later = training._logits(rows, STEPS).numpy()  # zeros are read like letters
    assert np.abs(later - first).max() > 1e-3


def test_a_restored_state_continues_to_the_same_weights():
    each, rows = graphs(), np.tile(np.arange(BATCH), (3, 1))
    weights = [drawn(layers, "gru", VOCABULARY, n) for n, layers in enumerate(each)]
    first = plain(Stack(each, "gru", VOCABULARY), weights)
    first.step(rows)
    state = first.state()
    first.step(rows)
    weights = [{name: 0 * value for name, value in one.items()} for one in weights]
    second = plain(Stack(each, "gru", VOCABULARY), weights)
    second.restore(state)
    second.step(rows)
    for one, other in zip(first.weights(), second.weights(), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)


def test_networks_of_different_depth_do_not_stack():
    deep = layered(nx.Graph([(0, 1), (1, 2), (2, 3)]))
    with pytest.raises(ValueError, match="same number of layers. Received: .3, 4."):
        Stack([*graphs(), deep], "gru", VOCABULARY)
