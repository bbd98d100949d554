"""Recurrent classifiers: their layers, their letters, what of them is pruned."""

import keras
import numpy as np
import pytest

from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.pruning.prune import prune
from keras_invprune_lab.data import Data
from keras_invprune_lab.models import RECURRENT, get_model
from keras_invprune_lab.models.recurrent import PARTS, recurrent

GATES = {"rnn-tanh": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
CODES = np.random.default_rng(0).integers(65, 91, (6, 5), "int32")
LETTERS = Data(CODES, np.arange(6) % 2, CODES, np.arange(6) % 2)


@pytest.fixture(scope="module", params=RECURRENT)
def named(request):
    keras.utils.set_random_seed(0)
    return request.param, get_model(request.param, LETTERS, width=4)


def hidden(model):
    return [layer for layer in model.layers if layer.name.startswith("hidden")]


def test_sizes_are_those_of_the_paper(named):
    name, model = named
    gates, bias = GATES[name], 2 if name == "gru" else 1
    shapes = [tuple(w.shape) for w in model.weights]
    hidden = [(4, 4 * gates), (4, 4 * gates), (4 * gates,) if bias == 1 else (2, 12)]
    first = [(50, 4 * gates), *hidden[1:]]
    assert shapes == [(128, 50), *first, *hidden, *hidden, (4, 2), (2,)]
    assert get_model(name, LETTERS).get_layer("hidden_1").units == 50


def test_weights_are_drawn_as_by_the_authors(named):
    name, _ = named
    model = get_model(name, LETTERS)
    letters = model.get_layer("letters").get_weights()[0]
    assert letters.std() == pytest.approx(1, abs=0.05)
    for weight in model.weights[1:]:
        values = weight.numpy()
        assert np.abs(values).max() <= 50**-0.5 < np.abs(values).max() * 1.5
        assert values.std() == pytest.approx(
            np.sqrt(1 / 150), rel=0.6 / values.size**0.3
        )
    drawn = [w.numpy() for w in model.weights if "kernel" in w.path]
    assert len({values.tobytes() for values in drawn}) == len(drawn)


def test_a_batch_is_as_long_as_its_longest_sequence(named):
    name, plain = named
    model = recurrent((5,), 2, 4, name, by_batch=True)
    model.set_weights(plain.get_weights())

    def after(steps, codes):
        shorter = recurrent((steps,), 2, 4, name)
        shorter.set_weights(plain.get_weights())
        return shorter(codes[:, :steps])

    short = CODES.copy()
    short[:, 3:] = short[1:3, 2:] = 0
    for steps, codes in ((5, CODES), (3, short), (2, short[1:3]), (1, 0 * short)):
        np.testing.assert_allclose(model(codes), after(steps, codes), atol=1e-6)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(short), model(short))


def test_what_is_pruned(named):
    name, model = named
    parts = {
        part: set(prunable_weights(model, select)) for part, select in PARTS.items()
    }
    numbers = (1, 2, 3)
    assert parts["input_to_hidden"] == {f"hidden_{n}/cell/kernel" for n in numbers}
    assert parts["hidden_to_hidden"] == {
        f"hidden_{n}/cell/recurrent_kernel" for n in numbers
    }
    together = parts["input_to_hidden"] | parts["hidden_to_hidden"]
    assert parts["both"] == together


def test_the_smallest_weights_of_all_layers_are_pruned_together(named):
    _, model = named
    pruned = prune(model, 0.5, select=PARTS["hidden_to_hidden"], schedule="manual")
    pruned.compile(loss="mse")
    pruned.prune_to(0.5)
    weights = [layer.cell.recurrent_kernel.numpy() for layer in hidden(model)]
    limit = np.median(np.abs(np.concatenate([w.ravel() for w in weights])))
    for mask, weight in zip(pruned.masks.values(), weights, strict=True):
        np.testing.assert_array_equal(mask.numpy(), np.abs(weight) > limit)


def test_a_pruned_cell_reads_nothing_of_the_last_step():
    model = get_model("gru", LETTERS, width=4)
    pruned = prune(model, 0.5, select=PARTS["hidden_to_hidden"], schedule="manual")
    for mask in pruned.masks.values():
        mask.assign(np.zeros(mask.shape))
    for layer in hidden(model):
        layer.cell.recurrent_kernel.assign(np.zeros((4, 12)))
    np.testing.assert_allclose(pruned(CODES), model(CODES), atol=1e-6)


def test_letters_get_a_recurrent_network_and_others_none():
    assert get_model(None, LETTERS).name == "gru"
    rows = Data(np.zeros((2, 5), "float32"), np.arange(2), None, None)
    for name, data in (("gru", rows), ("mlp-rows", LETTERS), ("mlp", LETTERS)):
        with pytest.raises(ValueError, match="sequences of letters"):
            get_model(name, data)
