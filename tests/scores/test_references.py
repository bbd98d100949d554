"""Each score against its formula, worked out by hand for a network of two layers."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune import scores

ROWS, FEATURES, HIDDEN, CLASSES = 8, 5, 7, 3
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(ROWS, FEATURES)).astype("float32")
Y = GENERATOR.integers(0, CLASSES, ROWS)
KEYS = ["hidden/kernel", "out/kernel"]


def network(activation=None, bias=True):
    """Dense, ReLU, Dense; its biases are not zero, where it has some."""
    options = {"use_bias": bias, "bias_initializer": "random_normal"}
    hidden = keras.layers.Dense(HIDDEN, "relu", name="hidden", **options)
    out = keras.layers.Dense(CLASSES, activation, name="out", **options)
    return keras.Sequential([keras.Input((FEATURES,)), hidden, out])


def pruned(activation=None, **options):
    model = kip.prune(network(activation, **options), 0.5, select=["hidden", "out"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    model.compile("sgd", loss)
    return model


def arrays(model):
    return {key: variable.numpy() for key, variable in model.masked.prunable.items()}


def scored(score, model):
    found = score(arrays(model), model)
    assert list(found) == KEYS
    return found


def parameters(model):
    """Both kernels and both biases, in float64."""
    first, second = (model.inner.get_layer(name) for name in ("hidden", "out"))
    kernels = [layer.kernel.numpy().astype(float) for layer in (first, second)]
    return kernels, [layer.bias.numpy().astype(float) for layer in (first, second)]


def forward(kernels, biases, x):
    hidden = np.maximum(x @ kernels[0] + biases[0], 0)
    return hidden, hidden @ kernels[1] + biases[1]


def backward(kernels, hidden, x, upstream):
    """Derivatives by the kernels, from those by the logits."""
    behind = upstream @ kernels[1].T * (hidden > 0)
    return [x.T @ behind, hidden.T @ upstream]


def loss_gradient(kernels, biases, x, y, temperature=1.0):
    """∂L/∂W of the mean cross-entropy of logits / T."""
    hidden, logits = forward(kernels, biases, x)
    powers = np.exp(logits / temperature)
    softmax = powers / powers.sum(axis=1, keepdims=True)
    upstream = (softmax - np.eye(CLASSES)[y]) / len(x) / temperature
    return backward(kernels, hidden, x, upstream)


def assert_close(found, expected, tolerance=1e-4):
    largest = max(np.abs(part).max() for part in expected)
    for key, part in zip(KEYS, expected, strict=True):
        np.testing.assert_allclose(found[key], part, 0, tolerance * largest)


# Probabilities and logits are one network to what divides or leaves out the softmax.
every_head = pytest.mark.parametrize("activation", [None, "softmax"])


@every_head
@pytest.mark.parametrize("batch_size", [3, ROWS])
def test_snip_is_the_weight_times_the_gradient(activation, batch_size):
    model = pruned(activation)
    kernels, biases = parameters(model)
    gradients = loss_gradient(kernels, biases, X, Y)
    expected = [np.abs(w * g) for w, g in zip(kernels, gradients, strict=True)]
    found = scored(scores.Snip(examples=(X, Y), batch_size=batch_size), model)
    assert_close(found, expected)


@every_head
@pytest.mark.parametrize("batch_size", [3, ROWS])
def test_logit_snip_is_that_of_the_squared_logits(activation, batch_size):
    model = pruned(activation)
    kernels, biases = parameters(model)
    hidden, logits = forward(kernels, biases, X)
    gradients = backward(kernels, hidden, X, 2 * logits)
    expected = [np.abs(w * g) for w, g in zip(kernels, gradients, strict=True)]
    found = scored(scores.LogitSnip(examples=(X,), batch_size=batch_size), model)
    factor = sum(map(np.sum, found.values())) / sum(map(np.sum, expected))
    assert_close(found, [part * factor for part in expected])


@every_head
@pytest.mark.parametrize("temperature", [200.0, 1.0])
@pytest.mark.parametrize("batch_size", [3, ROWS])
def test_grasp_is_the_weight_times_hessian_times_gradient(
    activation, temperature, batch_size
):
    model = pruned(activation)
    kernels, biases = parameters(model)

    def gradient_at(share):
        moved = [w + share * g for w, g in zip(kernels, gradients, strict=True)]
        return loss_gradient(moved, biases, X, Y, temperature)

    gradients = loss_gradient(kernels, biases, X, Y, temperature)
    # No ReLU turns over on so short a way, and float64 still sees the difference.
    way = 1e-5 / max(np.abs(g).max() for g in gradients)
    ends = gradient_at(way), gradient_at(-way)
    curved = [(after - before) / (2 * way) for after, before in zip(*ends, strict=True)]
    expected = [w * hg for w, hg in zip(kernels, curved, strict=True)]
    total = abs(sum(map(np.sum, expected)))
    expected = [part / total for part in expected]
    score = scores.Grasp((X, Y), batch_size, temperature)
    assert_close(scored(score, model), expected, 1e-3)


def test_fisher_is_the_mean_over_single_examples():
    model = pruned()
    kernels, biases = parameters(model)
    each = [loss_gradient(kernels, biases, X[[i]], Y[[i]]) for i in range(ROWS)]
    expected = [
        0.5 * w**2 * np.mean([np.square(g[index]) for g in each], axis=0)
        for index, w in enumerate(kernels)
    ]
    assert_close(scored(scores.Fisher(examples=(X, Y)), model), expected)


def test_taylor_is_the_mean_over_batches():
    model = pruned()
    kernels, biases = parameters(model)
    batches = [slice(0, 3), slice(3, 6), slice(6, 8)]
    each = [loss_gradient(kernels, biases, X[part], Y[part]) for part in batches]
    expected = [
        np.mean([np.square(w * g[index]) for g in each], axis=0)
        for index, w in enumerate(kernels)
    ]
    found = scored(scores.Taylor(examples=(X, Y), batch_size=3), model)
    assert_close(found, expected)


@every_head
def test_synflow_is_the_flow_of_ones_through_absolute_weights(activation):
    model = pruned(activation)
    kernels, biases = ([np.abs(w) for w in part] for part in parameters(model))
    ones = np.ones((1, FEATURES))
    hidden, logits = forward(kernels, biases, ones)
    flows = backward(kernels, hidden, ones, np.ones_like(logits))
    expected = [w * flow for w, flow in zip(kernels, flows, strict=True)]
    assert_close(scored(scores.SynFlow(), model), expected)


def test_synflow_is_conserved_from_layer_to_layer():
    layers = [
        keras.layers.Conv2D(4, 3, activation="relu", use_bias=False),
        keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(6, activation="relu", use_bias=False),
        keras.layers.Dense(3, activation="softmax", use_bias=False),
    ]
    network = keras.Sequential([keras.Input((6, 6, 2)), *layers])
    model = kip.prune(network, 0.5, select=lambda key, layer: True)
    sums = [s.sum() for s in scores.SynFlow()(arrays(model), model).values()]
    assert len(sums) == 3 and sums[0] > 0
    np.testing.assert_allclose(sums, sums[0], 1e-5)


def test_rows_of_weight_zero_do_not_count():
    model = pruned()
    weight = (np.arange(ROWS) < 5).astype("float32")
    found = scored(scores.Snip(examples=(X, Y, weight)), model)
    expected = scored(scores.Snip(examples=(X[:5], Y[:5])), model)
    # Keras divides by the number of rows, those without weight too.
    assert_close(found, [part * 5 / ROWS for part in expected.values()])


def test_scores_see_the_weights_they_are_given_not_those_of_the_model():
    model = pruned()
    halves = {key: weight * 0.5 for key, weight in arrays(model).items()}
    found = scores.Snip(examples=(X, Y))(halves, model)
    for key, variable in model.masked.prunable.items():
        variable.assign(halves[key])
    assert_close(found, list(scored(scores.Snip(examples=(X, Y)), model).values()))


def test_float16_ranks_as_float32_does():
    plain = pruned()
    keras.config.set_dtype_policy("mixed_float16")
    mixed = pruned()
    keras.config.set_dtype_policy("float32")
    mixed.inner.set_weights(plain.inner.get_weights())
    kinds = (scores.Snip, scores.LogitSnip, scores.Grasp, scores.Fisher, scores.Taylor)
    for score in (*(kind(examples=(X, Y)) for kind in kinds), scores.SynFlow()):
        expected = scored(score, plain)
        assert_close(scored(score, mixed), list(expected.values()), 0.05)


# Random and moving scores


def test_random_scores_leave_what_is_pruned_at_zero():
    weights = {"a": np.array([1.0, 0.0, -2.0])}
    first, again, other = (scores.Random(seed)(weights, None) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["a"] > 0, [True, False, True])
    np.testing.assert_array_equal(first["a"], again["a"])
    assert np.any(first["a"] != other["a"])
