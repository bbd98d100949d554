import types

import keras
import numpy as np
import pytest

from keras_invprune.exporting.planner.loss import Loss, check_labels
from keras_invprune.exporting.verify import Differs

X = {"x": np.arange(8.0)[:, None]}


def loss(outputs, y=None, metric=None):
    """Keras's outputs for 8 rows, as `SameOutputs` keeps them."""
    if not isinstance(outputs, dict):
        outputs = {"output_0": outputs}
    return Loss(types.SimpleNamespace(every=(X, outputs)), y, metric)


def returning(**outputs):
    """A file that returns the same rows for each input of 0, 1, 2, ..."""

    def run(inputs):
        places = inputs["x"][:, 0].astype(int)
        return {name: array[places] for name, array in outputs.items()}

    return run


ROWS = np.random.default_rng(0).normal(size=(8, 3))


def test_labels_of_classes_give_the_accuracy():
    labels = ROWS.argmax(1)
    labels[:2] = (labels[:2] + 1) % 3
    found = loss(ROWS, labels)
    assert (found.name, found.keras) == ("accuracy", 0.75)
    worse = np.zeros((8, 3))
    assert found(found.outputs(returning(output_0=worse), None)) == np.mean(labels == 0)


def test_other_labels_give_r2():
    labels = ROWS[:, :1] + 0.5
    found = loss(ROWS[:, :1], labels[:, 0])  # a column and a row, as users have them
    total = ((labels - labels.mean()) ** 2).sum()
    assert found.name == "R²"
    assert found.keras == pytest.approx(1 - 8 * 0.25 / total)
    assert found(found.outputs(returning(output_0=labels), 4)) == 1.0


def test_without_labels_files_must_agree_with_keras():
    found = loss(ROWS)
    assert (found.name, found.keras) == ("agreement", 1.0)
    other = np.where(np.arange(8)[:, None] < 2, -ROWS, ROWS)
    assert found(found.outputs(returning(output_0=other), None)) == 0.75


@pytest.mark.parametrize(
    "outputs, y, metric, step",
    [
        (ROWS, ROWS.argmax(1), None, 1 / 8),
        (ROWS, None, None, 1 / 8),
        ({"a": ROWS, "b": ROWS[:, :1]}, None, None, 1 / 8),
        (ROWS[:, :1], None, None, 0.0),
        (ROWS[:, :1], ROWS[:, :1], None, 0.0),
        (ROWS, ROWS, lambda y, outputs: 1.0, 0.0),
    ],
)
def test_one_row_loses_its_share(outputs, y, metric, step):
    assert loss(outputs, y, metric).step == step


@pytest.mark.parametrize("metric", [None, lambda y, outputs: outputs.sum()])
def test_a_file_that_is_nan_in_any_row_is_wrong(metric):
    # Neither the largest output nor a metric of the user's need show it.
    found = loss(ROWS, ROWS.argmax(1), metric)
    other = ROWS.copy()
    other[5, 0] = np.nan
    with pytest.raises(Differs, match="'output_0' is NaN or infinite in some rows"):
        found.outputs(returning(output_0=other), None)


def test_of_several_outputs_the_one_that_agrees_least_counts():
    outputs = {"a": ROWS, "b": ROWS[:, :1]}
    found = loss(outputs, y=[ROWS.argmax(1), ROWS[:, :1]])
    assert found.name == "agreement"
    mean = np.full((8, 1), ROWS[:, 0].mean())
    assert found(found.outputs(returning(a=ROWS, b=mean), None)) == pytest.approx(0.0)


def test_outputs_that_never_change_agree_with_themselves():
    found = loss(np.ones((8, 1)))
    assert found(found.outputs(returning(output_0=np.ones((8, 1))), None)) == 1.0


@pytest.mark.parametrize("constant", [0.1, 0.3, 1e6])
def test_labels_that_are_all_the_same_have_the_mean_squared_error(constant):
    # 0.3 is not the mean of fifty times 0.3.
    labels, outputs = np.full((50, 1), constant), np.full((50, 1), constant + 0.5)
    found = loss(outputs, labels)
    assert found.name == "R²" and found.keras == pytest.approx(0.75)


@pytest.mark.parametrize("y", [None, np.arange(8)])
def test_text_agrees_where_it_is_equal(y):
    words = np.array([b"a", b"b"] * 4, object)
    found = loss(words, y)
    assert found.name == "agreement" and found.keras == 1.0
    one_off = np.array([b"b", *words[1:]], object)
    assert found(found.outputs(returning(output_0=one_off), 4)) == 7 / 8


def test_the_users_metric_gets_labels_and_outputs():
    seen = []

    def metric(y, outputs):
        seen.append((y, outputs))
        return np.float32(-np.abs(outputs - y).mean())

    found = loss(ROWS[:, :1], ROWS[:, :1], metric)
    assert (found.name, found.keras) == ("metric", 0.0)
    assert found(found.outputs(returning(output_0=ROWS[:, :1] + 1), 3)) == -1.0
    np.testing.assert_array_equal(seen[1][1], ROWS[:, :1] + 1)


def test_a_metric_of_keras_counts_each_file_alone():
    labels, wrong = ROWS.argmax(1), np.roll(ROWS, 1, axis=1)
    found = loss(ROWS, labels, keras.metrics.SparseCategoricalAccuracy())
    assert (found.name, found.keras) == ("metric", 1.0)
    assert [found({"output_0": each}) for each in (wrong, ROWS)] == [0.0, 1.0]


def test_a_single_output_is_read_as_keras_means_it():
    # A file of probabilities may round one to below 0, and of logits none may be.
    labels = np.array([0, 1] * 4)
    sure, rounded = labels * 0.6, labels * 0.6 - 0.2
    assert loss(sure, labels)({"output_0": rounded}) == 0.5
    logits = np.where(labels, 0.4, -0.1)
    assert loss(logits, labels)({"output_0": np.where(labels, 0.4, 0.0)}) == 1.0


def test_a_metric_without_labels_is_refused():
    with pytest.raises(ValueError, match=r"no labels. Pass them: `data=\(x, y\)`"):
        check_labels(lambda y, outputs: 0.0, None)
    check_labels(lambda y, outputs: 0.0, ROWS)
    check_labels(None, None)


def test_an_error_in_the_users_metric_says_where_it_is_from():
    with pytest.raises(ValueError, match="`metric` must .* raised KeyError: 'head'"):
        loss(ROWS, ROWS, lambda y, outputs: {}["head"])


@pytest.mark.parametrize("wrapped", [lambda y: {"head": y}, lambda y: [y]])
def test_labels_may_be_by_name_or_in_a_list(wrapped):
    labels = np.roll(ROWS.argmax(1), 1)
    found, plain = loss(ROWS, wrapped(labels)), loss(ROWS, labels)
    assert found.name == "accuracy" and found.keras == plain.keras < 1
    numbers = loss(ROWS[:, :1], wrapped(ROWS[:, :1] + 0.5))
    assert numbers.name == "R²" and numbers.keras < 1


@pytest.mark.parametrize("value", [float("nan"), None, "high", True])
def test_a_metric_must_be_a_number(value):
    with pytest.raises(ValueError, match="`metric` must return a finite number"):
        loss(ROWS, ROWS, lambda y, outputs: value)
