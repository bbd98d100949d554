"""L_NCE against the sum written out as in the papers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune.objectives import contrastive_loss


def reference(embeddings, labels, temperature, weights=None):
    """-1/|P(i)| Σ_p log( exp(z_i·z_p/τ) / Σ_{a≠i} exp(z_i·z_a/τ) ), in loops."""
    z = embeddings.astype(np.float64)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    y = list(labels) * 2
    w = np.ones(len(labels)) if weights is None else np.asarray(weights)
    losses = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and np.all(y[p] == y[i])]
        others = sum(np.exp(z[i] @ z[a] / temperature) for a in range(len(z)) if a != i)
        terms = [np.log(np.exp(z[i] @ z[p] / temperature) / others) for p in positives]
        losses.append(-np.mean(terms) * w[i % len(labels)])
    return np.mean(losses)


@pytest.fixture
def z():
    return np.random.default_rng(0).normal(size=(12, 5)).astype("float32")


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5], [0] * 6])
def test_supervised_equals_the_formula(z, labels, temperature):
    loss = contrastive_loss(z, np.array(labels), temperature)
    np.testing.assert_allclose(loss, reference(z, labels, temperature), rtol=1e-5)


def test_without_labels_only_the_other_view_is_positive(z):
    loss = contrastive_loss(z, None, 0.5)
    np.testing.assert_allclose(loss, reference(z, range(6), 0.5), rtol=1e-5)


def test_sparse_one_hot_and_column_labels_agree(z):
    sparse = np.array([0, 1, 2, 0, 1, 0])
    expected = contrastive_loss(z, sparse, 1.0)
    for labels in (sparse[:, None], np.eye(3, dtype="float32")[sparse]):
        np.testing.assert_allclose(contrastive_loss(z, labels, 1.0), expected)


def test_weights_weigh_the_anchors(z):
    weights = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 1.0], "float32")
    labels = [0, 1, 2, 0, 1, 0]
    loss = contrastive_loss(z, np.array(labels), 1.0, weights)
    np.testing.assert_allclose(loss, reference(z, labels, 1.0, weights), rtol=1e-5)


def test_scale_of_the_embedding_does_not_matter(z):
    np.testing.assert_allclose(
        contrastive_loss(1e3 * z), contrastive_loss(z), rtol=1e-5
    )


def test_equal_views_far_from_the_rest_cost_least():
    near = np.tile(np.eye(4, dtype="float32"), (2, 1))
    assert contrastive_loss(near, None, 0.1) < contrastive_loss(
        np.roll(near, 1, axis=0) + near, None, 0.1
    )


def test_a_dead_embedding_has_a_finite_gradient():
    z = tf.Variable(np.zeros((4, 3), "float32"))
    with tf.GradientTape() as tape:
        loss = contrastive_loss(z, np.array([0, 1]))
    assert np.isfinite(tape.gradient(loss, z)).all() and np.isfinite(loss)


def test_half_precision_is_computed_in_float32(z):
    loss = contrastive_loss(z.astype("float16"), None, 0.01)
    assert loss.dtype == "float32" and np.isfinite(loss)


def test_compiles_under_xla(z):
    compiled = tf.function(contrastive_loss, jit_compile=True)
    labels = keras.ops.convert_to_tensor([0, 1, 2, 0, 1, 0])
    np.testing.assert_allclose(
        compiled(z, labels), contrastive_loss(z, labels), rtol=1e-5
    )
