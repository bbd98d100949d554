"""What scores, allocations and patterns of the user's own may return."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip


def model():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(3)]
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"allocation": lambda scores, sparsity: {}}, "An allocation.*hidden/kernel"),
        ({"allocation": lambda scores, sparsity: scores}, "must return masks of 0 and"),
        ({"score": lambda weights, model: {}}, "A score must.*hidden/kernel"),
        (
            {"score": lambda weights, model: {k: w[0] for k, w in weights.items()}},
            "A score must return one array of the weight's shape",
        ),
        (
            {"pattern": lambda scores, sparsity, allocation: {"x": np.ones(3)}},
            "An allocation, or a pattern, must return.*'hidden/kernel', 'x'",
        ),
    ],
)
def test_what_does_not_fit_the_weights_is_refused(parts, message):
    pruned = kip.prune(model(), 0.5, **parts)
    with pytest.raises(ValueError, match=message):
        pruned.prune_to(0.5)
    assert pruned.sparsity == 0 and not pruned.finished


def test_tensors_are_as_good_as_arrays():
    def score(weights, model):
        return {key: tf.abs(weight) for key, weight in weights.items()}

    def allocation(scores, sparsity):
        masks = kip.allocation.uniform(scores, sparsity)
        return {key: tf.cast(mask, "int32") for key, mask in masks.items()}

    pruned = kip.prune(model(), 0.5, score=score, allocation=allocation)
    pruned.prune_to(0.5)
    assert pruned.finished and pruned.sparsity == 0.5
