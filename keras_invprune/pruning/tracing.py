"""Variables that are made while TensorFlow traces a step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf


def variables_made_outside() -> AbstractContextManager:
    """Make the variables of a step before its graph, so that it is traced only once.

    Keras makes the variables of optimizers and metrics in the first call of a step. A
    `tf.function` whose first trace makes a variable is traced a second time, which
    takes seconds for a deep network. Under a distribution strategy, Keras has made them
    before.
    """
    return tf.variable_creator_scope(_outside)


def _outside(create: Callable, **options: Any) -> tf.Variable:
    traced = not tf.executing_eagerly() and not tf.distribute.has_strategy()
    if not traced or not callable(options["initial_value"]):
        return create(**options)
    options["experimental_enable_variable_lifting"] = False
    with tf.init_scope():
        return create(**options)
