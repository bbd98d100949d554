import keras
import numpy as np
import pytest

from keras_invprune.exporting.accuracy import (
    accuracy,
    balanced_accuracy,
    predicted_classes,
)
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.reporting.consistency import NoClassesError, consistency
from keras_invprune.views.geometry import RandomFlip
from keras_invprune.views.rows import ScarfCorruption

# Predicted classes: 0, 1, 0, 1.
LOGITS = np.array([[2, 1], [1, 2], [3, 0], [0, 3]], "float32")


def identity(batch):
    return batch


def favour_second(batch):
    return batch + np.array([0, 1.5], "float32")


def swap(batch):
    return batch[:, ::-1]


class Alternating:
    """Returns its input, and at every second call the opposite."""

    def __init__(self):
        self.sign = -1

    def __call__(self, batch):
        self.sign = -self.sign
        return self.sign * batch


def test_text_has_no_classes():
    def names(batch):
        return np.array(["a", "b"])[batch.argmax(1)]

    with pytest.raises(NoClassesError, match="must return numbers.*Received: text"):
        consistency(names, LOGITS, {"nothing": (None, identity)})


def test_share_of_equal_answers_by_hand():
    views = {
        "nothing": (None, identity),
        "the same": identity,
        "second": (None, favour_second),  # only [2, 1] changes its class
        "swap": (swap, None),  # all change theirs
        "swap both": (swap, swap),
        "second, swap": (favour_second, swap),  # 1101 against 1010
    }
    shares = consistency(identity, LOGITS, views)
    assert shares == {
        "nothing": 1.0,
        "the same": 1.0,
        "second": 0.75,
        "swap": 0.0,
        "swap both": 1.0,
        "second, swap": 0.25,
    }


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_batches_do_not_matter_to_a_view_of_single_rows(batch_size):
    views = {"second": (None, favour_second)}
    assert consistency(identity, LOGITS, views, batch_size=batch_size)["second"] == 0.75


def test_one_view_is_drawn_twice():
    x = np.array([[-2.0], [3.0], [4.0]])
    assert consistency(identity, x, {"sign": Alternating()}) == {"sign": 0.0}


def test_a_constant_classifier_is_consistent_and_useless():
    def constant(batch):
        return np.tile([1.0, 0, 0, 0], (len(batch), 1))

    noise = np.random.default_rng(0)
    views = {"noise": lambda batch: noise.normal(size=batch.shape)}
    result = consistency(constant, np.zeros((8, 3)), views, [0, 1, 2, 3] * 2)
    assert result == {"noise": 1.0, "accuracy": 0.25}


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 1],
        np.array([[0], [1], [1], [1]]),
        np.array([0.0, 1.0, 1.0, 1.0]),
        np.array([[1, 0], [0, 1], [0, 1], [0, 1]]),
        np.array([False, True, True, True]),
    ],
    ids=["sparse", "column", "float", "one-hot", "bool"],
)
def test_accuracy_is_of_the_inputs_themselves(labels):
    result = consistency(identity, LOGITS, {"swap": swap}, labels, batch_size=3)
    assert result == {"swap": 1.0, "accuracy": 0.75}


@pytest.mark.parametrize("absent", [None, 2])
def test_balanced_accuracy_is_scikit_learn_s(absent):
    metrics = pytest.importorskip("sklearn.metrics")
    draws = np.random.default_rng(0)
    outputs = draws.normal(size=(60, 4))
    y = draws.choice(4, 60, p=[0.7, 0.1, 0.1, 0.1])
    if absent is not None:
        outputs, y = outputs[y != absent], y[y != absent]
        outputs[:, absent] = -9
    expected = metrics.balanced_accuracy_score(y, outputs.argmax(axis=1))
    assert expected != pytest.approx(accuracy(outputs, y))
    for labels in (y, y[:, None], np.eye(4)[y]):
        assert balanced_accuracy(outputs, labels) == pytest.approx(expected)
    two = metrics.balanced_accuracy_score(y > 0, outputs[:, 0] > 0)
    assert balanced_accuracy(outputs[:, :1], y > 0) == pytest.approx(two)


def test_accuracy_survives_the_shuffling():
    x = np.eye(50)
    assert consistency(identity, x, {}, np.arange(50), batch_size=7)["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        ([[0.1, 0.7, 0.2], [5, -1, 0]], [1, 0]),
        ([[0.2], [0.5], [0.6]], [0, 0, 1]),  # probabilities
        ([0.2, 0.5, 0.6], [0, 0, 1]),
        ([[0.2], [-0.5], [0.6]], [1, 0, 1]),  # logits: one is negative
        ([0.2, 1.5, 0.0], [1, 1, 0]),  # logits: one is above 1
    ],
)
def test_predicted_class(outputs, classes):
    assert predicted_classes(np.array(outputs)).tolist() == classes


def test_both_views_are_read_alike():
    # The first view alone, [0.2], would pass for a probability of class 0.
    views = {"shift": (None, lambda batch: batch + 3)}
    assert consistency(identity, np.array([[0.2]]), views) == {"shift": 1.0}


@pytest.mark.parametrize(
    ("outputs", "y"),
    [
        (LOGITS, [0.5, 1, 0, 1]),  # no whole numbers
        (LOGITS, [0, 1, 2, 1]),  # no third class
        (LOGITS, [-1, 1, 1, 1]),
        (LOGITS, ["a", "b", "a", "b"]),
        (LOGITS, np.ones((4, 2))),  # several labels per row
        (LOGITS[:, :1], [0, 1, 2, 3]),  # a count
        (LOGITS[:, :1], [0.1, 0.9, 0.2, np.nan]),
        (np.zeros((4, 2, 2)), np.zeros((4, 2, 2))),
    ],
)
def test_no_accuracy_without_class_labels(outputs, y):
    assert accuracy(outputs, y) is None and balanced_accuracy(outputs, y) is None


def small_model(*layers):
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])


def test_the_model_is_in_evaluation_mode():
    model = small_model(
        keras.layers.Dense(16),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.9),
    )
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    before = [w.numpy() for w in model.weights]
    y = model.predict(x, verbose=0).argmax(axis=1)
    result = consistency(model, x, {"nothing": (None, identity)}, y, batch_size=5)
    assert result == {"nothing": 1.0, "accuracy": 1.0}
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_against_numpy_with_a_real_view():
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    x = np.random.default_rng(0).normal(size=(40, 6, 6, 1)).astype("float32")
    plain = model.predict(x, verbose=0).argmax(axis=1)
    mirrored = model.predict(x[:, :, ::-1], verbose=0).argmax(axis=1)
    views = {"flip": (None, RandomFlip("horizontal", probability=1.0))}
    share = consistency(model, x, views, batch_size=16)["flip"]
    assert 0 < share < 1
    assert share == np.mean(plain == mirrored)


def test_a_fresh_view_with_the_same_seed_gives_the_same_figure():
    model = small_model()
    x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")

    def share():
        return consistency(model, x, {"scarf": (None, ScarfCorruption(0.5, seed=3))})

    first = share()
    assert 0 < first["scarf"] < 1
    assert share() == first


def test_sorted_data_are_shuffled_into_batches():
    # Each row becomes another row of its batch. Unshuffled, each batch would be of one
    # class, and the figure 1.
    x = np.repeat(np.eye(2, dtype="float32"), 64, axis=0)
    views = {"scarf": (None, ScarfCorruption(1.0, seed=0))}
    share = consistency(identity, x, views, batch_size=64)["scarf"]
    assert 0.25 < share < 0.75  # a half, if the donor's class is a coin's throw


def test_several_inputs_in_a_dict():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Add()([a, b]))
    x = {"a": LOGITS, "b": np.zeros_like(LOGITS)}

    def swap_a(batch):
        return {"a": batch["a"][:, ::-1], "b": batch["b"]}

    views = {"swap": (None, swap_a), "twice": swap_a}
    result = consistency(model, x, views, [0, 1, 0, 1], batch_size=3)
    assert result == {"swap": 0.0, "twice": 1.0, "accuracy": 1.0}


def test_a_tf_keras_model():
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential(
        [tf_keras.layers.Activation("linear", input_shape=(2,))]
    )
    result = consistency(model, LOGITS, {"second": (None, favour_second)}, [0, 1, 0, 1])
    assert result == {"second": 0.75, "accuracy": 1.0}


def with_nan(batch):
    return batch * np.nan


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.zeros((0, 2))}, ValueError, "at least one input"),
        ({"x": np.full((2, 2), np.nan)}, ValueError, "`x` must not contain NaN"),
        ({"x": [[1.0, 2.0], [3.0, 4.0]]}, TypeError, "must be an array"),
        ({"x": [LOGITS, LOGITS[:2]]}, ValueError, r"\[4, 2\] rows"),
        ({"y": [0, 1]}, ValueError, r"\[4, 2\] rows, the last of which is `y`"),
        ({"y": [0.1, 0.2, 0.3, 0.4]}, ValueError, "class numbers"),
        ({"views": swap}, TypeError, "must be a dict"),
        ({"views": {"swap": 3}}, TypeError, "must be a callable or a pair"),
        (
            {"views": {"accuracy": swap}, "y": [0, 1, 0, 1]},
            ValueError,
            "must not be named",
        ),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"seed": -1}, ValueError, "`seed` must be an integer of at least 0"),
        ({"seed": 0.5}, ValueError, "`seed` must be .* Received: seed=0.5"),
        ({"model": lambda batch: [batch, batch]}, ValueError, "one output"),
        ({"model": lambda batch: batch[None]}, ValueError, r"shape=\(1, 4, 2\)"),
        ({"model": with_nan}, ValueError, "view 'swap' contain NaN"),
        (
            {"model": with_nan, "views": {}, "y": [0] * 4},
            ValueError,
            "inputs contain NaN",
        ),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    usual = {"model": identity, "x": LOGITS, "views": {"swap": swap}}
    with pytest.raises(error, match=message):
        consistency(**(usual | arguments))


def test_views_see_what_the_layers_of_a_model_see():
    images = np.random.default_rng(0).random((6, 8, 8)).astype("float32")
    body = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *body])
    flip = {"flip": (None, RandomFlip("horizontal", probability=1.0))}
    plain, mirrored = (
        model.predict(x, verbose=0) for x in (images, images[:, :, ::-1])
    )
    expected = np.mean(plain.argmax(-1) == mirrored.argmax(-1))
    assert consistency(model, images, flip) == {"flip": expected}


def test_generators_are_named():
    with pytest.raises(ValueError, match="`x` must.*Received: a generator.*from_gen"):
        consistency(lambda x: x, (x for x in range(2)), {"same": lambda x: x})
    with pytest.raises(ValueError, match="Received: a generator.*from_generator"):
        rows_of((x, 0) for x in range(2))
