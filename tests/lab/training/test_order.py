"""The order of rows, which is the same wherever a training resumes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune_lab.training.order import Reordered, batches

X = np.arange(10, dtype="float32")[:, None]
Y = np.arange(10)


def rows(first, last, **options):
    return [y.numpy().tolist() for _, y in batches(X, Y, 4, 7, first, last, **options)]


def test_each_epoch_has_all_rows_in_an_order_of_its_own():
    found = rows(0, 3)
    assert [len(batch) for batch in found] == [4, 4, 2] * 3
    epochs = [sum(found[i : i + 3], []) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_epoch_is_the_same_wherever_one_begins():
    assert rows(1, 3) == rows(0, 3)[3:]


def test_inputs_and_labels_stay_together():
    for x, y in batches(X, Y, 4, 0, 0, 2):
        np.testing.assert_array_equal(x[:, 0], y)


def test_an_epoch_of_so_many_steps_is_the_beginning_of_the_whole():
    whole = rows(0, 3)
    assert rows(0, 3, steps=2) == [whole[i] for i in (0, 1, 3, 4, 6, 7)]
    assert rows(1, 3, steps=1) == [whole[3], whole[6]]
    assert rows(0, 1, steps=9) == whole[:3]


def keys(seed, first, last, **options):
    """The keys that the batches are augmented by; their labels."""

    def show(inputs, key):
        return tf.repeat(key[None], len(inputs), axis=0)

    found = batches(X, Y, 4, seed, first, last, augment=show, **options)
    found = [(x.numpy(), y.numpy().tolist()) for x, y in found]
    assert all(np.all(x == x[0]) for x, _ in found)
    return [tuple(x[0].tolist()) for x, _ in found], [y for _, y in found]


def test_each_batch_is_augmented_by_a_key_of_its_own():
    found, labels = keys(7, 0, 3)
    assert len(set(found)) == 9 and {seed for seed, _ in found} == {7}
    assert labels == rows(0, 3)
    assert not set(found) & set(keys(8, 0, 3)[0])
    # The same wherever a training begins, and whether or not it is cut short.
    assert keys(7, 1, 3)[0] == found[3:]
    assert keys(7, 0, 3, steps=2)[0] == [found[i] for i in (0, 1, 3, 4, 6, 7)]


class Seen(keras.Model):
    """Notes the rows of each step in place of learning from them."""

    def __init__(self):
        super().__init__()
        self.built, self.steps = True, []
        self.compile(run_eagerly=True)

    def train_step(self, data):
        self.steps.append([int(row) for row in data[0][:, 0]])
        return {"loss": 0.0}


def reordered(first, epochs, steps=3):
    order, model = Reordered(X, 3, 7, steps), Seen()
    options = {"initial_epoch": first, "epochs": epochs, "verbose": 0, "shuffle": False}
    model.fit(order.rows, callbacks=[order], **options)
    return [model.steps[i : i + steps] for i in range(0, len(model.steps), steps)]


def test_epochs_of_a_fit_over_the_same_data_have_orders_of_their_own():
    found = reordered(0, 3)
    assert [[len(batch) for batch in epoch] for epoch in found] == [[3, 3, 3]] * 3
    rows_of = [sum(epoch, []) for epoch in found]
    assert all(len(set(rows)) == 9 for rows in rows_of)
    assert rows_of[0] != rows_of[1] != rows_of[2]


@pytest.mark.parametrize("first", [1, 2])
def test_such_an_epoch_is_the_same_wherever_one_begins(first):
    assert reordered(first, 3) == reordered(0, 3)[first:]


def test_such_an_epoch_of_so_many_steps_is_the_beginning_of_the_whole():
    assert reordered(0, 2, steps=2) == [epoch[:2] for epoch in reordered(0, 2)]
