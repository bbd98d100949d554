"""What is left alone and why; zeros by kernel."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
import zoo
from keras_invprune.graph.inventory import (
    HEAD,
    NOT_SELECTED,
    ON_REQUEST,
    UNKNOWN,
    inventory,
    left_alone,
)
from keras_invprune.graph.prunable import FROZEN


@pytest.mark.parametrize("name", zoo.CASES)
def test_each_kernel_is_pruned_or_left_alone_with_a_reason(name):
    case = zoo.CASES[name]()
    pruned = kip.prune(case.model, 0.5, select=case.select, copy=case.copy)
    alone = pruned.left_alone
    assert not alone.keys() & pruned.masks.keys()
    assert set(alone.values()) <= {FROZEN, HEAD, NOT_SELECTED, ON_REQUEST, UNKNOWN}
    counted = inventory(pruned.inner)
    assert counted["by_key"].keys() == alone.keys() | pruned.masks.keys()


def network():
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(5, 4, name="words"),
            keras.layers.GRU(3, name="gru"),
            zoo.Lookup(name="custom"),
            keras.layers.Dense(4, name="frozen", trainable=False),
            keras.layers.Dense(4, name="body"),
            keras.layers.Dense(2, name="head"),
        ]
    )


def test_the_reasons():
    reasons = {
        "words/embeddings": ON_REQUEST,
        "custom/table": UNKNOWN,
        "frozen/kernel": FROZEN,
        "head/kernel": HEAD,
    }
    assert left_alone(network()) == reasons
    pruned = kip.prune(network(), 0.5, select=["words", "body"])
    del reasons["words/embeddings"]
    gru = dict.fromkeys(["gru/cell/kernel", "gru/cell/recurrent_kernel"], NOT_SELECTED)
    assert pruned.left_alone == reasons | gru


def test_zeros_are_counted_by_kernel():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="body")])
    model.layers[0].kernel.assign(np.array([[0, 1, 0], [2, 0, 3]]))
    assert inventory(model) == {
        "total": 6,
        "zeros": 3,
        "sparsity": 0.5,
        "by_key": {"body/kernel": {"shape": [2, 3], "zeros": 3}},
        "left_alone": {},
    }
