"""Active layers, counted as in the paper."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
import zoo
from keras_invprune.graph.active import (
    active_layers,
    negative_norms,
    rectified_layers,
    removable_layers,
)
from keras_invprune.proximal import ActiveLayers, NegativeParts


def mlp(names="abc"):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *(layers.Dense(3, "relu", name=name) for name in names),
            layers.Dense(2, name="out"),
        ]
    )
    return model


def test_norms_by_hand():
    model = mlp()
    model.get_layer("a").set_weights([np.ones((4, 3)), np.array([-3.0, 1, -4])])
    model.get_layer("b").set_weights([np.eye(3), np.zeros(3)])
    model.get_layer("c").set_weights([-2 * np.eye(3)[:1].repeat(3, 0), np.zeros(3)])
    assert negative_norms(model) == pytest.approx({"a": 5, "b": 0, "c": 2 * 3**0.5})
    assert active_layers(model) == ["a", "c"]


def test_which_layers_have_a_rectifier():
    x = keras.Input((8, 8, 1))
    y = layers.Conv2D(2, 3, activation="relu", name="own")(x)
    y = layers.ReLU()(layers.Conv2D(2, 1, name="next")(y))
    y = layers.PReLU()(layers.Conv2D(2, 1, name="slope")(y))
    y = layers.ReLU(max_value=6.0)(layers.Conv2D(2, 1, name="bounded")(y))
    y = layers.Conv2D(2, 1, name="normal")(y)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Dense(2, "tanh", name="tanh")(layers.Flatten()(y))
    y = layers.Dense(2, name="twice")(y)
    y = layers.Concatenate()([layers.ReLU()(y), y])
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, "elu", name="inner")])
    model = keras.Model(x, layers.Dense(1, name="out")(inner(y)))
    assert list(rectified_layers(model)) == ["own", "next", "slope", "inner"]
    assert removable_layers(model) == ["next", "slope"]
    assert removable_layers(model, True) == ["own", "next", "slope"]


def test_a_shared_layer_counts_once_and_needs_every_input():
    x = keras.Input((4,))
    shared = layers.Dense(4, "relu", name="shared")
    model = keras.Model(x, shared(shared(x)))
    assert list(rectified_layers(model)) == ["shared"]
    assert removable_layers(model) == []
    assert removable_layers(model, True) == ["shared"]


def test_layers_of_equal_names_get_their_paths():
    inner = [
        keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu", name="a")], name=n)
        for n in ("one", "two")
    ]
    model = keras.Sequential([keras.Input((4,)), *inner])
    assert list(rectified_layers(model)) == ["one/a", "two/a"]


def test_a_layer_and_one_of_its_name_inside_a_model_are_told_apart():
    x = keras.Input((4,))
    first, inside = (layers.Dense(4, "relu", name="a") for _ in "ab")
    inner = keras.Sequential([keras.Input((4,)), inside], name="inner")
    model = keras.Model(x, inner(first(x)))
    operator = NegativeParts.of(model, {"a": 1.0, "inner/a": 2.0})
    found = dict(operator.groups(model.trainable_variables))
    assert found[1.0][0] is first.kernel and found[2.0][0] is inside.kernel


def test_the_operator_of_a_model():
    model = mlp()
    assert NegativeParts.of(model, 0.5).strengths == {"b": 0.5, "c": 0.5}
    assert NegativeParts.of(model, 0.5, rising=True).strengths == {"b": 0.25, "c": 0.5}
    declared = NegativeParts.of(model, 0.5, nonnegative_inputs=True)
    assert list(declared.strengths) == ["a", "b", "c"]
    assert NegativeParts.of(model, {"a": 1.0}).strengths == {"a": 1.0}
    pruned = kip.prune(model, 0.5)
    model.get_layer("b").trainable = False
    assert NegativeParts.of(model, 0.5).strengths == {"c": 0.5}
    assert NegativeParts.of(pruned, 0.5).strengths == {"b": 0.5, "c": 0.5}


@pytest.mark.parametrize(
    ("model", "strength", "error", "message"),
    [
        (mlp, -0.1, ValueError, "not negative"),
        (mlp, "0.1", TypeError, "must be a number"),
        (mlp, {"out": 0.1}, ValueError, "Unknown layer with a rectifier: 'out'"),
        (mlp, {"B": 0.1}, ValueError, "Did you mean 'b'"),
        (lambda: mlp(""), 0.1, ValueError, "No layer of model .* may be removed"),
        (lambda: keras.Sequential([layers.Dense(2)]), 0.1, ValueError, "not built"),
        (lambda: zoo.subclassed().model, 0.1, ValueError, "a `call` of its own. Build"),
        (lambda: "model", 0.1, TypeError, "Keras 3 model"),
    ],
)
def test_what_it_refuses(model, strength, error, message):
    with pytest.raises(error, match=message):
        NegativeParts.of(model(), strength)


def test_nan_is_not_counted():
    model = mlp()
    model.get_layer("b").bias.assign([np.nan, 0, 0])
    with pytest.raises(ValueError, match="'b' are not finite"):
        active_layers(model)


def test_history_and_tensorboard_show_them(tmp_path):
    model = mlp()
    model.compile("sgd", "mse")
    boards = [ActiveLayers(norms=True), keras.callbacks.TensorBoard(tmp_path)]
    x = np.random.default_rng(0).normal(size=(8, 4))
    found = model.fit(x, x[:, :2], epochs=2, verbose=0, callbacks=boards).history
    assert found["active_layers"] == [3, 3]
    norms = negative_norms(model)
    assert {name: found[f"negative/{name}"][-1] for name in "abc"} == norms
    (events,) = tmp_path.glob("train/events*")
    assert b"epoch_active_layers" in events.read_bytes()


def test_removed_weights_count_as_zero():
    model = mlp("ab")
    model.get_layer("b").set_weights([np.eye(3) - 0.5, np.zeros(3)])
    pruned = kip.prune(model, 0.5, schedule="manual", select=["b/kernel"])
    mask = next(iter(pruned.masks.values()))
    mask.assign(np.eye(3))
    assert "b" not in active_layers(pruned) and "b" in active_layers(pruned.inner)
