"""Variables that are made while TensorFlow traces a step."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

LIFTING = "experimental_enable_variable_lifting"


@contextlib.contextmanager
def variables_made_outside(model: keras.Model) -> Iterator[None]:
    """Make the variables of a step before its graph, so that it is traced only once.

    Keras makes the variables of optimizers and metrics in the first call of a step. A
    `tf.function` whose first trace makes a variable is traced a second time, which
    takes seconds for a deep network. Under a distribution strategy, Keras has made them
    before.

    A step that makes other variables is traced twice all the same. Only so does
    TensorFlow find those that each call would make again, as a metric function does in
    which a `keras.metrics.Mean` is made.

    Args:
        model: The compiled model of the step.
    """
    made: list[tf.Variable] = []
    with tf.variable_creator_scope(functools.partial(_outside, made)):
        yield
    if made and not {id(each) for each in made} <= _kept(model):
        tf.Variable(lambda: 0.0)  # made in the graph: TensorFlow traces again


def _outside(made: list, create: Callable, **options: Any) -> tf.Variable:
    traced = not tf.executing_eagerly() and not tf.distribute.has_strategy()
    lifted = options.get(LIFTING) is not False  # else each call makes a new one
    if traced and lifted and callable(options["initial_value"]):
        # Raised if the value depends on the graph.
        with contextlib.suppress(TypeError), tf.init_scope():
            variable = create(**options | {LIFTING: False})
            made.append(variable)
            return variable
    return create(**options)


def _kept(model) -> set[int]:
    """Return the identities of the variables of a model's optimizer and metrics."""
    owners = [*model.metrics, *filter(None, [model.optimizer])]
    return {id(variable.value) for each in owners for variable in each.variables}
