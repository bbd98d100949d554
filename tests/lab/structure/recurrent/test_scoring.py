"""Cheap scores of a stack, against the Keras model of each network."""

import keras
import networkx as nx
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune.priors import layered
from keras_invprune.priors.recurrent import Tokens, recurrent
from keras_invprune_lab.structure.prediction.proxies import (
    PROXIES,
    alignment,
    logarithm,
)
from keras_invprune_lab.structure.recurrent.cells import CELLS
from keras_invprune_lab.structure.recurrent.scoring import cheap_scores
from keras_invprune_lab.structure.recurrent.stack import drawn

VOCABULARY, ROWS = 6, 5  # of which an even number is read
LOTS = np.random.default_rng(0)
X, Y = LOTS.integers(1, VOCABULARY, (ROWS, 4)), np.array([0, 1, 1, 0, 1])
X[0, 2:] = X[2, 3:] = 0  # zeros at the end of shorter strings
# Three layers each; the first has a skip that lacks a connection.
GRAPHS = [nx.Graph([(0, 2), (1, 2), (2, 3), (0, 3), (2, 4)]), nx.path_graph(3)]


def weights_of(cell):
    return [drawn(layered(g), cell, VOCABULARY, n) for n, g in enumerate(GRAPHS)]


def scores(cell, weights, x=X, y=Y):
    each = [layered(graph) for graph in GRAPHS]
    return cheap_scores(each, cell, VOCABULARY, weights, x, y)


class Network:
    """The Keras model of a graph with certain weights, and its gradients."""

    def __init__(self, graph, cell, weights):
        kind = CELLS[cell]
        options = {"cell": kind.keras, "activation": kind.activation}
        self.model = recurrent(graph, Tokens(VOCABULARY), 2, **options)
        self.names = [f"{w.path.split('/')[0]}/{w.name}" for w in self.model.weights]
        self.weights = weights

    def gradients(self, x, figure, of=lambda weight: weight):
        """Of a figure of the outputs at ``of(weights)``, where there are weights."""
        for weight, name in zip(self.model.weights, self.names, strict=True):
            weight.assign(of(self.weights[name]))
        values = [weight.value for weight in self.model.weights]
        with tf.GradientTape() as tape:
            total = figure(tf.convert_to_tensor(self.model(x)))
        found = tape.gradient(total, values, unconnected_gradients="zero")
        return {
            name: tf.convert_to_tensor(g).numpy() * (self.weights[name] != 0)
            for name, g in zip(self.names, found, strict=True)
        }

    def product(self, gradients):
        """Σ |w · g| over what may be pruned, in logarithms."""
        kernels = [n for n in self.names if "kernel" in n and "outputs" not in n]
        sums = [np.abs(self.weights[name] * gradients[name]).sum() for name in kernels]
        return logarithm(sum(sums))


@pytest.mark.parametrize("cell", ["gru", "relu"])
def test_they_are_those_of_the_keras_models(cell):
    weights = weights_of(cell)
    found = scores(cell, weights)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for graph, own, given in zip(GRAPHS, weights, found, strict=True):
        network = Network(graph, cell, own)
        flow = network.gradients(np.ones((1, 4), int), tf.reduce_sum, np.abs)
        snip = network.gradients(X[:4], lambda logits: loss(Y[:4], logits))
        kernel = np.zeros((2, 2))
        for output in (lambda logits: logits[0, 0], lambda logits: logits[0, 1]):
            rows = [network.gradients(row, output).values() for row in X[:4, None]]
            jacobian = [np.concatenate([g.ravel() for g in row]) for row in rows]
            kernel += np.array(jacobian[:2]) @ np.array(jacobian[2:]).T / 2
        labels = np.eye(2)[Y[:2]] @ np.eye(2)[Y[2:4]].T
        wanted = (
            network.product(flow),
            network.product(snip),
            np.log(np.sqrt(np.mean(kernel**2))),
            1 - alignment(kernel, labels),
        )
        assert tuple(given) == PROXIES
        np.testing.assert_allclose(list(given.values()), wanted, atol=2e-4)


def test_columns_without_letters_change_nothing():
    weights = weights_of("tanh")
    wider = np.pad(X, [(0, 0), (0, 2)])
    assert scores("tanh", weights, wider) == scores("tanh", weights)


def test_a_network_has_the_same_scores_in_any_stack():
    together, weights = scores("gru", weights_of("gru")), weights_of("gru")
    layers = [layered(GRAPHS[1])]
    (alone,) = cheap_scores(layers, "gru", VOCABULARY, weights[1:], X, Y)
    assert alone == pytest.approx(together[1], abs=1e-5)


def test_scores_are_finite_if_nothing_flows_and_all_rows_have_one_class():
    empty = [{k: v * 0 for k, v in one.items()} for one in weights_of("relu")]
    for found in scores("relu", empty, y=np.zeros(ROWS, int)):
        none = np.log(np.finfo("float32").tiny)
        assert found["proxy_synflow"] == found["proxy_snip"] == pytest.approx(none)
        assert found["proxy_tangent_distance"] == 1
        assert np.isfinite(found["proxy_tangent_norm"])  # of the outputs' biases
