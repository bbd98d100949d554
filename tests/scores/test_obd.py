"""Optimal Brain Damage against the whole Hessian of tiny networks, in float64."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.scores import Fisher, OptimalBrainDamage

ROWS, FEATURES, HIDDEN, CLASSES = 6, 4, 5, 3
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(ROWS, FEATURES)).astype("float32")
Y = GENERATOR.integers(0, CLASSES, ROWS)
STEP = 1e-4
ACTIVATIONS = {"relu": lambda a: np.maximum(a, 0), "tanh": np.tanh}


def pruned(hidden="relu", head=None, loss=None):
    layers = [
        keras.layers.Dense(HIDDEN, hidden, bias_initializer="random_normal"),
        keras.layers.Dense(CLASSES, head, bias_initializer="random_normal"),
    ]
    network = keras.Sequential([keras.Input((FEATURES,)), *layers])
    model = kip.prune(network, 0.5, select=lambda *_: True)
    given = keras.losses.SparseCategoricalCrossentropy(from_logits=head is None)
    model.compile("sgd", loss or given)
    return model


def scored(model, y=Y, score=OptimalBrainDamage):
    weights = {key: v.numpy() for key, v in model.masked.prunable.items()}
    found = list(score(examples=(X, y))(weights, model).values())
    return np.concatenate([np.ravel(part) for part in found])


class Reference:
    """The same network in NumPy, a function of all kernels in one vector."""

    def __init__(self, model, hidden):
        first, second = model.inner.layers
        self.activation = ACTIVATIONS[hidden]
        self.biases = [np.float64(layer.bias.numpy()) for layer in (first, second)]
        kernels = [np.float64(layer.kernel.numpy()) for layer in (first, second)]
        self.weights = np.concatenate([kernel.ravel() for kernel in kernels])

    def logits(self, weights):
        size = FEATURES * HIDDEN
        first = weights[:size].reshape(FEATURES, HIDDEN)
        second = weights[size:].reshape(HIDDEN, CLASSES)
        hidden = self.activation(X @ first + self.biases[0])
        return hidden @ second + self.biases[1]

    def along(self, function):
        """Values of a function one step up, here and one step down each weight."""
        moves = STEP * np.eye(self.weights.size)
        ends = [[function(self.weights + s * m) for s in (1, 0, -1)] for m in moves]
        return np.array(ends)

    def hessian(self, loss):
        """½ w² times the diagonal of the Hessian, by second differences."""
        up, here, down = self.along(lambda w: loss(self.logits(w))).T
        return 0.5 * self.weights**2 * (up - 2 * here + down) / STEP**2

    def gauss_newton(self):
        """½ w² times the diagonal of Jᵀ (diag(p) - p pᵀ) J, by first differences."""
        ends = self.along(self.logits)
        slopes = (ends[:, 0] - ends[:, 2]) / (2 * STEP)  # [weights, rows, classes]
        p = softmax(self.logits(self.weights))
        spread = (p * slopes**2).sum(-1) - (p * slopes).sum(-1) ** 2
        return 0.5 * self.weights**2 * spread.mean(axis=1)


def softmax(z):
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(z):
    return -np.log(softmax(z)[np.arange(ROWS), Y]).mean()


def assert_close(found, expected, tolerance=1e-3):
    np.testing.assert_allclose(found, expected, 0, tolerance * np.abs(expected).max())


@pytest.mark.parametrize("head", [None, "softmax"])
def test_of_relu_networks_it_is_the_whole_hessian_s_diagonal(head):
    model = pruned(head=head)
    assert_close(scored(model), Reference(model, "relu").hessian(cross_entropy))


def test_of_a_squared_error_it_is_the_whole_hessian_s_diagonal():
    model = pruned(loss="mse")
    targets = np.eye(CLASSES, dtype="float32")[Y]
    reference = Reference(model, "relu").hessian(lambda z: ((z - targets) ** 2).mean())
    assert_close(scored(model, targets), reference)


def test_of_other_activations_it_is_the_gauss_newton_matrix_s_diagonal():
    model = pruned("tanh")
    reference, found = Reference(model, "tanh"), scored(model)
    assert_close(found, reference.gauss_newton())
    whole = reference.hessian(cross_entropy)
    assert np.abs(found - whole).max() > 0.02 * np.abs(whole).max()


def test_two_heads_are_seen_together():
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(HIDDEN, "relu", name="hidden")(inputs)
    heads = {name: keras.layers.Dense(2, name=name)(hidden) for name in ("a", "b")}
    targets = {name: GENERATOR.normal(size=(ROWS, 2)) for name in heads}
    found = []
    for names in (("a", "b"), ("a",), ("b",)):
        network = keras.Model(inputs, {name: heads[name] for name in names})
        model = kip.prune(network, 0.5, select=["hidden"])
        model.compile("sgd", dict.fromkeys(names, "mse"))
        found.append(scored(model, {name: targets[name] for name in names}))
    assert_close(found[0], found[1] + found[2], 1e-4)


def test_a_network_that_ends_in_no_dense_layer_is_scored_as_by_fisher():
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Reshape((4, 2))]
    layers += [keras.layers.Conv1D(CLASSES, 4), keras.layers.Flatten()]
    network = keras.Sequential([keras.Input((FEATURES,)), *layers])
    model = kip.prune(network, 0.5, select=lambda *_: True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    assert_close(scored(model), scored(model, score=Fisher), 1e-5)


def test_weights_already_pruned_score_zero():
    model = pruned()
    model.prune_to(0.5)
    masks = np.concatenate([np.ravel(m.numpy()) for m in model.masks.values()])
    found = scored(model)
    assert not found[masks == 0].any() and (found[masks == 1] > 0).mean() > 0.5
