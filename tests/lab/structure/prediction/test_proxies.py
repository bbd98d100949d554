"""Cheap scores of small networks, against NumPy."""

import keras
import numpy as np
import pytest

from keras_invprune_lab.structure.prediction.proxies import (
    PROXIES,
    alignment,
    kernel_by_rows,
    logarithm,
    proxies,
)

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    return random.normal(size=(12, 4)).astype("float32"), np.tile([0, 1, 2], 4)


@pytest.fixture
def model():
    layers = [keras.layers.Dense(6, "relu"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers])


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def jacobian(model, row):
    """J of a ReLU layer and a head, [classes, weights]."""
    w, b, v, _ = (weight.astype("float64") for weight in model.get_weights())
    hidden = row @ w + b
    on = (hidden > 0).astype("float64")
    parts = []
    for c in range(v.shape[1]):
        through = v[:, c] * on
        into_head = np.zeros_like(v)
        into_head[:, c] = hidden * on
        unit = np.eye(v.shape[1])[c]
        parts.append(
            np.concatenate(
                [np.outer(row, through).ravel(), through, into_head.ravel(), unit]
            )
        )
    return np.array(parts)


def test_they_are_those_of_the_formulas(model, rows):
    x, y = rows
    before = model.get_weights()
    found = proxies(model, x, y, LOSS)
    assert tuple(found) == PROXIES
    w, b, v, d = (weight.astype("float64") for weight in before)
    # The one layer that may be pruned carries the whole flow; biases start at zero.
    flow = np.sum(np.abs(w) @ np.abs(v))
    assert found["proxy_synflow"] == pytest.approx(np.log(flow), abs=1e-4)
    hidden = np.maximum(x @ w + b, 0)
    error = (softmax(hidden @ v + d) - np.eye(3)[y]) / len(x)
    gradient = x.T @ (error @ v.T * (hidden > 0))
    snip = np.log(np.abs(w * gradient).sum())
    assert found["proxy_snip"] == pytest.approx(snip, abs=1e-4)
    j = np.array([jacobian(model, row) for row in x])
    kernel = np.einsum("acw,bcw->ab", j[:6], j[6:]) / 3
    norm = np.log(np.sqrt(np.mean(kernel**2)))
    assert found["proxy_tangent_norm"] == pytest.approx(norm, abs=1e-4)
    labels = np.eye(3)[y[:6]] @ np.eye(3)[y[6:]].T
    distance = 1 - alignment(kernel, labels)
    assert found["proxy_tangent_distance"] == pytest.approx(distance, abs=1e-4)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_allclose(kernel_by_rows(model, x), kernel, rtol=1e-4)


def test_recurrent_networks_of_any_length_have_them():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(5, 3), keras.layers.GRU(4), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    random = np.random.default_rng(0)
    x = random.integers(5, size=(8, 6)).astype("int32")
    y = np.tile([0, 1], 4)
    found = proxies(model, x, y, LOSS)
    assert np.isfinite(list(found.values())).all()
    # Recurrent weights take part only if the flow goes through more than one step.
    short = proxies(model, x[:, :1], y, LOSS)
    assert found["proxy_synflow"] > short["proxy_synflow"]


def test_alignment_is_one_for_equals_and_ignores_offsets_and_scale():
    k = np.random.default_rng(0).normal(size=(5, 4))
    assert alignment(k, k) == pytest.approx(1)
    assert alignment(3 * k + np.arange(4.0) + 7, k) == pytest.approx(1)
    assert alignment(-k, k) == pytest.approx(-1)
    assert alignment(np.ones((5, 4)), k) == 0


def test_logarithms_are_finite():
    assert logarithm(np.e) == pytest.approx(1)
    limits = np.finfo("float32")
    assert logarithm(0) == pytest.approx(np.log(limits.tiny))
    assert logarithm(np.inf) == pytest.approx(np.log(limits.max))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 4), "float32"), [0, 1, 2], "3 rows and 3 labels"),
        (np.zeros((8, 4), "float32"), [0, 1, 2], "8 rows and 3 labels"),
        (np.zeros((8, 4), "float32"), [1] * 8, "one class"),
    ],
)
def test_rows_that_say_nothing_are_refused(x, y, message, model):
    with pytest.raises(ValueError, match=message):
        proxies(model, x, np.array(y), LOSS)
