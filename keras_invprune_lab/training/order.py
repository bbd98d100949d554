"""The order of the rows: that of an epoch is the same wherever a training resumes."""

import keras
import tensorflow as tf


def batches(x, y, batch_size, seed, first_epoch, epochs, *, steps=None, augment=None):
    """Return batches of shuffled rows, the same in an epoch whenever it is made.

    Args:
        x: Array [n, ...].
        y: Array [n].
        batch_size: Rows in a batch; the last of an epoch may have fewer.
        seed: Of the orders.
        first_epoch: The first epoch wanted, from 0.
        epochs: The number of epochs.
        steps: Batches of an epoch, which is cut off after them; None for all rows.
        augment: None, or ``(rows, key) -> rows`` for each batch of inputs, where the
            key, two integers, is another one for each batch.

    Returns:
        A `tf.data.Dataset` of (x, y) over all those epochs, one after the other.
    """
    x, y = tf.constant(x), tf.constant(y)

    def one_epoch(epoch):
        order = _order(len(x), seed, epoch).batch(batch_size)
        order = order if steps is None else order.take(steps)
        return order.enumerate(epoch * 2**32)

    def one_batch(number, index):
        inputs = tf.gather(x, index)
        if augment is not None:
            inputs = augment(inputs, tf.stack([tf.constant(seed, tf.int64), number]))
        return inputs, tf.gather(y, index)

    rows = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    rows = rows.map(one_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return rows.prefetch(tf.data.AUTOTUNE)


class Reordered(keras.callbacks.Callback):
    """Batches of inputs for a `fit` that goes over its data again in each epoch.

    Args:
        x: Array [n, ...].
        batch_size: Rows in a batch, at most n.
        seed: Of the orders.
        steps: Batches of an epoch, at most the whole ones.

    Attributes:
        rows: A `tf.data.Dataset` of (x,), in the order of the epoch that begins.
    """

    def __init__(self, x, batch_size, seed, steps):
        super().__init__()
        x, self._epoch = tf.constant(x), tf.Variable(0, dtype=tf.int64)

        def one_epoch(_):
            order = _order(len(x), seed, self._epoch.read_value())
            return order.batch(batch_size, drop_remainder=True).take(steps)

        rows = tf.data.Dataset.range(1).flat_map(one_epoch)
        rows = rows.map(lambda index: (tf.gather(x, index),)).prefetch(1)
        self.rows = rows.apply(tf.data.experimental.assert_cardinality(steps))

    def on_epoch_begin(self, epoch, logs=None):
        """Make this epoch's order the next one."""
        self._epoch.assign(epoch)


def _order(rows, seed, epoch) -> tf.data.Dataset:
    """Return the numbers of the rows in the order of an epoch."""
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    numbers = tf.range(rows, dtype=tf.int64)
    order = tf.random.experimental.stateless_shuffle(numbers, key)
    return tf.data.Dataset.from_tensor_slices(order)
