"""All functions that take `data` read the same rows from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.compaction import verify
from keras_invprune.compaction.distance import answered_rows
from keras_invprune.compaction.merge import verify as merge_verify
from keras_invprune.graph.given_rows import arrays_of

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
Y = np.arange(6) % 2


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        chosen = slice(2 * index, 2 * index + 2)
        return X[chosen], Y[chosen]


FORMS = {
    "x": X,
    "x and y": (X, Y),
    "tf.data": tf.data.Dataset.from_tensor_slices((X, Y, np.ones(6))).batch(2),
    "PyDataset": Batches(),
    "sparse": tf.sparse.from_dense(X),
}
every_form = pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)


def mlp():
    layers = [keras.layers.Dense(3, "relu"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.fixture
def compared(monkeypatch):
    """The rows on which models are compared."""
    seen = []

    def record(model, x):
        seen.append(x)
        return answered_rows(model, x)

    for each in (verify, merge_verify):
        monkeypatch.setattr(each, "answered_rows", record)
    return seen


@every_form
def test_compact_compares_on_the_rows_of_any_form(data, compared):
    kip.compact(mlp(), data=data)
    np.testing.assert_array_equal(compared, [X])


@every_form
def test_merging_compares_on_the_rows_of_any_form(data, compared):
    never = kip.compaction.NeverNegative(data)
    kip.merge_layers(mlp(), [never], data=data)
    np.testing.assert_array_equal(compared, [X, X])


TAKING = {
    "compact": lambda data: kip.compact(mlp(), data=data),
    "merge_layers": lambda data: kip.merge_layers(mlp(), data=data),
    "NeverNegative": kip.compaction.NeverNegative,
    "export": lambda data: kip.export(mlp(), "files", data=data),
    "pack": lambda data: kip.pack(mlp(), "file.kip", bits=4, data=data),
    "report": lambda data: kip.report(mlp(), data),
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y, Y), "x or \\(x, y\\).*Received: a tuple of 3"),
        ((row for row in X), "Received: a generator.*from_generator"),
        (FORMS["tf.data"].repeat(), "finite.*an infinite"),
        (X.tolist(), "arrays of rows.*Received: float.*`np.array\\(rows\\)`"),
    ],
    ids=["tuple", "generator", "endless", "lists"],
)
def test_data_that_cannot_be_read_is_refused(
    take, data, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"`data` must be.*{message}"):
        take(data)
    assert list(tmp_path.iterdir()) == []


A = keras.Input((4,), name="a")
B = keras.Input((3, 1), name="b", dtype="int32")
FOUR, THREE = np.ones((5, 4)), np.ones((5, 3))


@pytest.mark.parametrize(
    "structure, x",
    [
        ([A, B], [FOUR, THREE]),
        ([A, B], {"b": THREE, "a": FOUR}),
        ({"q": A, "p": B}, {"q": FOUR, "p": THREE}),
    ],
)
def test_arrays_come_in_the_order_of_the_inputs(structure, x):
    shapes = [array.shape for array in arrays_of(structure, x)]
    expected = [(5, 4), (5, 3, 1)]  # a last axis of length 1 may be missing
    assert shapes == (expected[::-1] if isinstance(structure, dict) else expected)


@pytest.mark.parametrize(
    "x, message",
    [
        (
            THREE,
            r"rows of shape \(4,\) for the input 'a'. Received: rows of shape \(3,",
        ),
        (FOUR[:0], "at least one row. Received: 0 rows"),
        ([FOUR, FOUR], r"inputs \['a'\].*Received: 2 arrays"),
        ({"x": FOUR}, r"the keys \['a'\]. Received: \['x'\]"),
        (FOUR.astype(str), "numbers for the input 'a'. Received: text"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda model, x: arrays_of(model.input, x),
        lambda model, x: kip.compact(model, data=x),
        lambda model, x: kip.merge_layers(model, data=x),
        lambda model, x: kip.export(model, "never", data=x),
    ],
)
def test_rows_that_do_not_fit_the_model_are_named_by_all_that_take_rows(
    call, x, message
):
    with pytest.raises(ValueError, match=message):
        call(keras.Model(A, keras.layers.Dense(2)(A)), x)
