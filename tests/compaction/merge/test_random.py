"""Random stacks: whatever is merged computes the same, and all else has a reason."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from keras_invprune.compaction.merge import merge_layers
from keras_invprune.compaction.merge.engine import AFFINE

KINDS = st.sampled_from(["conv", "pointwise", "strided", "same"])
ACTIVATIONS = st.sampled_from(["relu", "leaky_relu", "elu", "linear", "tanh", "prelu"])
BLOCK = st.tuples(KINDS, ACTIVATIONS, st.booleans(), st.booleans(), st.booleans())


def block(number, kind, activation, normal, idle, units):
    """Return the layers of one block."""
    options = {
        "conv": {"kernel_size": 2},
        "pointwise": {"kernel_size": 1},
        "strided": {"kernel_size": 2, "strides": 2},
        "same": {"kernel_size": 3, "padding": "same"},
    }[kind]
    made = [layers.Conv1D(units, name=f"conv_{number}", **options)]
    if normal:
        made.append(layers.BatchNormalization(name=f"norm_{number}"))
    slope = layers.PReLU("ones", shared_axes=[1], name=f"act_{number}")
    other = layers.Activation(activation if activation != "prelu" else "relu")
    made.append(slope if activation == "prelu" else other)
    if idle:
        made.append(layers.Dropout(0.5, name=f"drop_{number}"))
    return made


def stack(blocks, flat, seed):
    """Return a model of random weights; those of some blocks are not negative."""
    random = np.random.default_rng(seed)
    parts, positive = [], set()
    for number, (kind, activation, normal, idle, is_positive) in enumerate(blocks):
        made = block(number, kind, activation, normal, idle, 3)
        parts += made
        positive |= {id(layer) for layer in made if is_positive}
    pool = layers.Flatten() if flat else layers.GlobalAveragePooling1D()
    model = keras.Sequential(
        [keras.Input((24, 3)), *parts, pool, layers.Dense(4, name="one")]
        + [layers.Dense(2, name="out")]
    )
    for layer in model.layers:
        if not isinstance(layer, layers.PReLU):
            values = [random.normal(size=w.shape) for w in layer.weights]
            if id(layer) in positive or isinstance(layer, layers.BatchNormalization):
                values = [np.abs(value) for value in values]
            if isinstance(layer, layers.BatchNormalization) and id(layer) in positive:
                values[2] *= 0  # the mean, which would be subtracted
            if values:
                layer.set_weights(values)
    return model


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(BLOCK, min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_random_stacks(blocks, flat, seed):
    model = stack(blocks, flat, seed)
    merged = merge_layers(model, nonnegative_inputs=True)
    x = np.abs(np.random.default_rng(1).normal(size=(16, 24, 3)))
    expected = np.asarray(model(x, training=False), "float64")
    found = np.asarray(merged.model(x, training=False), "float64")
    size = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) <= 1e-4 * size).all()
    affine = [layer.name for layer in model.layers if type(layer) in AFFINE]
    gone = [merge.layer for merge in merged.merges]
    assert sorted(gone + [kept.layer for kept in merged.kept]) == sorted(affine)
    assert merged.parameters[1] <= merged.parameters[0]
    assert not merge_layers(merged.model, nonnegative_inputs=True).merges
    assert "one" in gone  # two linear layers in a row
    keras.backend.clear_session(free_memory=False)
