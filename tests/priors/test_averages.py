"""Averages of an optimizer, which Keras makes before it applies constraints."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from graphs import GRAPH, assert_same, rows
from keras_invprune import priors

X, Y = rows(16, 3), rows(16, 2, seed=1)
MOMENTUM = 0.5


class Steps(keras.callbacks.Callback):
    """The trained weights after each step, where constraints hold."""

    def on_train_begin(self, logs=None):
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append([v.numpy() for v in self.model.trainable_variables])

    def average(self):
        average = self.found[0]
        for weights in self.found[1:]:
            pairs = zip(average, weights, strict=True)
            average = [MOMENTUM * a + (1 - MOMENTUM) * w for a, w in pairs]
        return average


def fitted(model, x=X):
    """The averages of what was trained, in NumPy."""
    steps = Steps()
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=MOMENTUM)
    model.compile(optimizer, "mse", run_eagerly=True)
    model.fit(x, Y, batch_size=8, epochs=2, verbose=0, callbacks=[steps])
    return steps.average()


DOORS = {
    "graph_of": lambda model, out: priors.graph_of(model),
    "prune": lambda model, out: kip.prune(model, 0.5),
    "compact": lambda model, out: kip.compact(model),
    "plan": lambda model, out: kip.compaction.plan(model),
    "merge_layers": lambda model, out: kip.merge_layers(model),
    "export": lambda model, out: kip.export(model, out / "out", formats=["keras"]),
}


def test_every_door_refuses_averages_until_constraints_are_applied(tmp_path):
    model = priors.feed_forward(GRAPH, 3, 2, activation="tanh")
    expected = fitted(model)
    trained = [v.numpy() for v in model.trainable_variables]
    for enter in DOORS.values():
        with pytest.raises(ValueError, match=r"of .*layer_2/kernel.*use_ema.*w.const"):
            enter(model, tmp_path)
    assert not [*tmp_path.iterdir()]
    for variable, before in zip(model.trainable_variables, trained, strict=True):
        np.testing.assert_array_equal(variable, before)
    # as the message says
    for w in model.weights:
        w.constraint and w.assign(w.constraint(w))
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6)
    for enter in DOORS.values():
        enter(model, tmp_path)
    assert_same(priors.graph_of(model), priors.oriented(GRAPH))


@pytest.mark.parametrize("make", [priors.feed_forward, priors.recurrent])
def test_a_pruned_model_applies_them_itself_where_nothing_is_masked(make):
    plain = make(GRAPH, 3, 2, activation="tanh")
    x = X if make is priors.feed_forward else X[:, None]
    pruned = kip.prune(plain, 0.5, select=["layer_1"], schedule="at_init")
    expected = fitted(pruned, x)
    for variable, value in zip(pruned.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6)
    left = priors.graph_of(kip.strip_pruning(pruned))
    assert set(left.edges) < set(priors.oriented(GRAPH).edges)


def test_a_loop_of_ones_own_is_told_when_masks_are_stripped():
    plain = priors.feed_forward(GRAPH, 3, 2)
    pruned = kip.prune(plain, 0.5, select=["layer_1"], schedule="manual", copy=False)
    pruned.prune_to(0.5)
    kernel = plain.get_layer("layer_2").kernel
    kernel.assign(np.ones(kernel.shape))
    with pytest.raises(ValueError, match="of 'layer_2/kernel' are not"):
        kip.strip_pruning(pruned)
    kernel.assign(kernel.constraint(kernel))
    assert kip.strip_pruning(pruned) is plain
    priors.graph_of(plain)
