"""The rows of a `fit`'s data that scores are shown, and that training loses none."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.pruning.examples import examples_for
from keras_invprune.scores import Snip, magnitude

ROWS = 20
X = np.arange(ROWS * 4, dtype="float32").reshape(ROWS, 4)
Y = np.arange(ROWS)
WEIGHT = np.arange(ROWS) / ROWS


def draw(count, x, y=None, sample_weight=None, **arguments):
    given = {"x": x, "y": y, "sample_weight": sample_weight, **arguments}
    return examples_for(Snip(count), given)


def test_class_weights_count_as_in_fit():
    y, class_weight = Y % 3, {0: 2.0, 2: 0.5}
    expected = np.array([2.0, 1.0, 0.5])[y]
    for labels in (y, y[:, None], np.eye(3)[y]):
        x, _, found = draw(ROWS, X, labels, class_weight=class_weight)
        np.testing.assert_allclose(found, expected[places(x)])
    data = tf.data.Dataset.from_tensor_slices((X, y, WEIGHT)).batch(8)
    x, _, found = draw(ROWS, data, class_weight=class_weight)
    np.testing.assert_allclose(found, expected * WEIGHT, rtol=1e-6)
    assert draw(5, X, y)[2] is None


def places(x):
    """Which rows of X these are; raises if one is none of them."""
    found = (x[:, 0] / 4).astype(int)
    np.testing.assert_array_equal(x, X[found])
    return found


class Batches(keras.utils.PyDataset):
    def __init__(self, size, count=ROWS):
        super().__init__()
        self.size = size
        self.count = count
        self.read = []

    def __len__(self):
        return -(-self.count // self.size)

    def __getitem__(self, index):
        self.read.append(index)
        part = slice(index * self.size, (index + 1) * self.size)
        return X[part], Y[part], WEIGHT[part]


class Endless(keras.utils.PyDataset):
    num_batches = None  # Keras's sign for it, in the place of a length

    def __getitem__(self, index):
        return Batches(5)[index % 4]


def test_only_scores_that_ask_for_a_number_are_given_any():
    arguments = {"x": X, "y": Y}
    assert examples_for(magnitude, arguments) is None
    assert examples_for(Snip(examples=(X, Y)), arguments) is None


# Arrays


@pytest.mark.parametrize("convert", [np.asarray, tf.constant], ids=["numpy", "tensor"])
def test_rows_of_arrays_stay_together(convert):
    x, y, weight = draw(7, *map(convert, (X, Y, WEIGHT)))
    assert all(isinstance(part, np.ndarray) for part in (x, y, weight))
    found = places(x)
    assert len(set(found)) == 7
    np.testing.assert_array_equal(y, Y[found])
    np.testing.assert_array_equal(weight, WEIGHT[found])


def test_rows_of_arrays_are_drawn_at_random_and_the_same_each_time():
    found = places(draw(10, X, Y)[0])
    assert np.any(np.diff(found) != 1)
    np.testing.assert_array_equal(places(draw(10, X, Y)[0]), found)


def test_inputs_may_be_nested_and_labels_missing():
    x, y, weight = draw(5, {"a": X, "b": [X[:, :1], X[:, 1:]]})
    assert y is None and weight is None
    found = places(x["a"])
    np.testing.assert_array_equal(x["b"][0], X[found, :1])
    np.testing.assert_array_equal(x["b"][1], X[found, 1:])


def test_labels_may_be_nested():
    _, y, weight = draw(5, X, {"kind": Y, "size": Y / 2}, {"kind": WEIGHT})
    np.testing.assert_array_equal(y["size"], y["kind"] / 2)
    np.testing.assert_allclose(weight["kind"], y["kind"] / ROWS)


@pytest.mark.parametrize("split", [0.25, 0.5, 0.9, 0.07])
def test_rows_of_the_validation_split_are_never_drawn(split):
    seen = []

    class Spy(keras.Model):  # what Keras itself takes for training
        def train_step(self, data):
            seen.extend(data[0][:, 0].numpy())
            return {"loss": 0.0}

        def test_step(self, data):
            return {"loss": 0.0}

    spy = Spy()
    spy.compile("sgd", run_eagerly=True)
    spy.fit(X, Y, validation_split=split, verbose=0)
    found = places(draw(ROWS, X, Y, validation_split=split)[0])
    assert sorted(found) == sorted(int(value) // 4 for value in seen)


@pytest.mark.parametrize("data", [X, Batches(6), tf.data.Dataset.from_tensors((X, Y))])
def test_fewer_rows_than_asked_for_are_all_of_them(data):
    x, *_ = draw(1000, data)
    assert sorted(places(x)) == list(range(ROWS))


# Data sets


@pytest.mark.parametrize("size", [1, 3, 7, ROWS])
def test_of_a_data_set_the_first_rows_are_taken(size):
    data = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(size)
    for given in (data, data.repeat(), Batches(size)):
        x, y, weight = draw(7, given)
        np.testing.assert_array_equal(x, X[:7])
        np.testing.assert_array_equal(y, Y[:7])
        np.testing.assert_array_equal(weight, WEIGHT[:7])


def test_no_more_batches_are_read_than_needed():
    data = Batches(3)
    draw(7, data)
    assert data.read == [0, 1, 2]


def test_a_data_set_of_python_may_be_endless():
    x, *_ = draw(30, Endless())
    assert len(x) == 30
    np.testing.assert_array_equal(places(x)[-10:], np.arange(10))


def test_a_data_set_may_have_nested_inputs_and_no_labels():
    nested = {"a": X, "b": (X[:, :1], X[:, 1:])}
    data = tf.data.Dataset.from_tensor_slices((nested, {"kind": Y})).batch(4)
    x, y, weight = draw(6, data)
    assert weight is None
    np.testing.assert_array_equal(x["a"], X[:6])
    np.testing.assert_array_equal(x["b"][1], X[:6, 1:])
    np.testing.assert_array_equal(y["kind"], Y[:6])
    x, y, weight = draw(6, tf.data.Dataset.from_tensor_slices(X).batch(4))
    assert y is None and weight is None
    np.testing.assert_array_equal(x, X[:6])


def test_batches_that_are_padded_otherwise_are_not_looked_at():
    data = tf.data.Dataset.from_generator(
        lambda: (np.ones(length) for length in (3, 3, 3, 2, 5, 5, 4)),
        output_signature=tf.TensorSpec([None], tf.float32),
    )
    x, *_ = draw(7, data.padded_batch(2))
    assert x.shape == (4, 3)


def test_empty_data_are_refused():
    empty = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).take(0)
    for data in (empty, Batches(4, count=0)):
        with pytest.raises(ValueError, match="must not be empty"):
            draw(5, data)


# In a fit


def pruned(score, features=4):
    network = keras.Sequential([keras.Input((features,)), keras.layers.Dense(1)])
    options = {"schedule": "at_init", "select": lambda *_: True}
    model = kip.prune(network, 0.5, score=score, **options)
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def generator(rows):
    for row in rows:
        yield X[[row]], Y[[row], None]


def test_a_generator_is_refused_unread_with_the_way_out():
    model, rows = pruned(Snip(5)), iter(range(ROWS))
    with pytest.raises(
        ValueError, match=r"generator, which gives its rows.*Snip\(examples=\("
    ):
        model.fit(generator(rows), verbose=0)
    assert next(rows) == 0 and not model.finished


# Keras says so of every generator.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_beside_a_generator_examples_may_be_given():
    model = pruned(Snip(examples=(X, Y[:, None])))
    model.fit(generator(range(ROWS)), shuffle=False, verbose=0)
    assert model.finished_step == 0 and model.step == ROWS


def test_training_sees_every_row_of_a_data_set():
    seen = []

    def look(x):
        seen.append(int(x[0]) // 4)
        return np.int64(0)

    def rows():
        yield from zip(X, Y, strict=True)

    signature = tf.TensorSpec((4,)), tf.TensorSpec((), tf.int64)
    data = tf.data.Dataset.from_generator(rows, output_signature=signature)
    data = data.apply(tf.data.experimental.assert_cardinality(ROWS))
    data = data.map(
        lambda x, y: (x, y + tf.numpy_function(look, [x], tf.int64, stateful=True))
    )
    model = pruned(Snip(5))
    model.fit(data.batch(4), shuffle=False, verbose=0)
    # Five for the score, in batches that are read ahead, then all of them.
    assert seen[-ROWS:] == list(range(ROWS))
    assert model.finished_step == 0 and model.step == ROWS // 4
    np.testing.assert_array_equal(model.examples[0], X[:5])


def test_examples_are_drawn_only_as_long_as_they_are_needed():
    model = pruned(Snip(5))
    model.fit(X, Y, verbose=0)
    before = model.examples
    model.fit(X, Y, verbose=0)  # its masks stay
    assert model.examples is before


def test_before_fit_they_are_drawn_as_fit_draws_them():
    model, other = pruned(Snip(5)), pruned(Snip(5))
    model.fit(X, Y, sample_weight=WEIGHT, verbose=0)
    other.draw_examples(X, Y, sample_weight=WEIGHT, epochs=3)
    for one, two in zip(model.examples, other.examples, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rows", [(), (X[:0], Y[:0])])
def test_a_score_that_reads_rows_refuses_none(rows):
    with pytest.raises(ValueError, match="must not be empty. Received: (x=None|no ro)"):
        pruned(Snip(5)).draw_examples(*rows)


def test_labels_by_name_are_handed_on_as_they_are():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(8, name="body")(inputs)
    outputs = {name: keras.layers.Dense(1, name=name)(x) for name in ("one", "two")}
    network = keras.Model(inputs, outputs)
    model = kip.prune(network, 0.5, score=Snip(5), schedule="at_init")
    model.compile("sgd", {"one": "mse", "two": "mae"}, run_eagerly=True)
    model.fit(X, {"one": Y[:, None], "two": Y[:, None]}, verbose=0)
    assert model.finished_step == 0 and set(model.examples[1]) == {"one", "two"}
