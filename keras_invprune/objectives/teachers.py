"""What a teacher says of a batch, within the training step."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.trace import traced
from keras_invprune.graph.weights import is_graph
from keras_invprune.saving import name_of

LEAST = 1e-7  # probability, so that its logarithm is finite
WAY_OUT = (  # for a teacher
    "If it returns logits, pass keras.Sequential([teacher, keras.layers.Softmax()]); "
    "if probabilities, a function: lambda x: teacher(x, training=False)"
)
ROUNDING = 1e-3  # of the sum of the probabilities of a row
ACTIVATED = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
activations = keras.activations
# The logarithms of probabilities are logits as well.
OF_LOGITS = (activations.linear, activations.log_softmax)
OF_PROBABILITIES = (activations.softmax, activations.sigmoid)


def log_probabilities(outputs: Tensor, from_logits: bool):
    """Return the logarithms of class probabilities.

    Args:
        outputs: Logits or probabilities, shape [..., classes]. If the last axis has
            length 1, they are those of the second of two classes.
        from_logits: Whether they are logits.

    Returns:
        Shape [..., max(classes, 2)], in float32.

    Example:
        >>> np.exp(log_probabilities(np.array([[0.25]]), False)).tolist()
        [[0.75, 0.25]]
    """
    outputs = ops.cast(outputs, "float32")
    single = outputs.shape[-1] == 1
    if from_logits:
        other = ops.zeros_like(outputs)
    else:
        other = 1.0 - outputs
    if single:
        outputs = ops.concatenate([other, outputs], axis=-1)
    if from_logits:
        return ops.log_softmax(outputs, axis=-1)
    return ops.log(ops.maximum(outputs, LEAST))


def gives_logits(model: keras.Model) -> bool | None:
    """Return whether a model's only output are logits; None if it cannot be told.

    Args:
        model: A built Keras model.
    """
    activation = last_activation(model)
    known = activation in OF_LOGITS + OF_PROBABILITIES
    return activation in OF_LOGITS if known else None


def last_activation(model: keras.Model) -> Callable | None:
    """Return the activation that makes a model's only output; None if it is unknown.

    It is that of the last layer, if this is a softmax, another activation, or a layer
    with a kernel.

    Args:
        model: A built Keras model.
    """
    if not (is_graph(model) and len(model.outputs) == 1):
        return None
    trace = traced(model)
    (output,) = tree.flatten(trace.outputs)
    makers = {id(made): step for step in trace.steps for made in step.made}
    while (step := makers.get(id(output))) is not None:
        last = step.operation
        if is_graph(last):
            return last_activation(last)
        if isinstance(last, keras.layers.Softmax):
            return activations.softmax
        if isinstance(last, ACTIVATED):
            return last.activation
        if not isinstance(last, keras.layers.Activation):
            return None
        if last.activation is not activations.linear:
            return last.activation
        (output,) = step.reads  # such as a cast to float32
    return None


def told(model: keras.Model, whose: str, way_out: str) -> bool:
    """Return whether a model's only output are logits.

    Args:
        model: A built Keras model.
        whose: What the message calls it: "student" or "teacher".
        way_out: What the message advises.

    Raises:
        ValueError: If it cannot be told.
    """
    found = gives_logits(model)
    if found is None:
        raise ValueError(
            f"It must be clear whether a {whose} returns logits or probabilities: its "
            "one output must come from a softmax, a sigmoid, or a layer with a kernel "
            "and no other activation, of a Sequential or Functional model. Received: "
            f"{model.name!r}, which ends otherwise. {way_out}."
        )
    return found


def asked(teacher: Any, x: Nested, shape: tuple):
    """Return the logarithms of a teacher's probabilities for a batch.

    Args:
        teacher: A Keras model, called in evaluation mode, or a callable that takes and
            returns NumPy arrays.
        x: The batch, of tensors.
        shape: Shape of the student's outputs.

    Returns:
        Shape [..., max(classes, 2)], in float32, without a gradient.

    Raises:
        ValueError: If a Keras model does not have the student's classes, or if it is
            unclear whether it returns logits. In a compiled step, wrong values of a
            callable raise TensorFlow's InvalidArgumentError.
    """
    if isinstance(teacher, keras.Model):
        outputs = teacher(x, training=False)
        logits = check_keras(teacher, outputs, shape)
        (outputs,) = tree.flatten(outputs)
    else:
        outputs, logits = _in_python(teacher, x, shape), False
    return ops.stop_gradient(log_probabilities(outputs, logits))


def check_keras(teacher: keras.Model, outputs: Nested, shape: tuple) -> bool:
    """Return whether a Keras teacher returns logits.

    Args:
        teacher: The teacher.
        outputs: What it returns, tensors or symbolic ones.
        shape: Shape of the student's outputs.

    Raises:
        ValueError: If that is unclear, or if it does not have the student's classes.
    """
    logits = told(teacher, "teacher", WAY_OUT)
    (output,) = tree.flatten(outputs)
    check_exclusive(teacher, output.shape)
    _check_shape(teacher, output.shape, shape)
    return logits


def check_exclusive(model: keras.Model, shape: tuple):
    """Raise ValueError if each of several outputs is a probability by itself.

    Args:
        model: The teacher or the student.
        shape: Shape of its outputs.
    """
    if shape[-1] != 1 and last_activation(model) is activations.sigmoid:
        raise ValueError(
            "A teacher must return class probabilities that add up to 1 in each row. "
            f"Received: {model.name!r}, which returns a sigmoid of "
            f"shape {tuple(shape)}. Use a model that ends in a softmax."
        )


def answer(teacher: Callable, x: Nested, shape: tuple) -> np.ndarray:
    """Return the probabilities that a callable gives for a batch, in float32.

    Args:
        teacher: The callable.
        x: The batch, of NumPy arrays.
        shape: Shape of the student's outputs. If it has one column, so has the result.

    Raises:
        ValueError: If these are not probabilities of the student's classes.
    """
    found = np.asarray(teacher(x), "float32")
    if found.ndim == len(shape) - 1 and shape[-1] == 1:
        found = found[..., None]
    _check_shape(teacher, found.shape, shape)
    _check_values(teacher, found)
    return found[..., -1:] if shape[-1] == 1 else found


def _in_python(teacher, x, shape):
    """Return a tensor of what a callable says of a batch."""

    def call(*arrays):
        return answer(teacher, tree.pack_sequence_as(x, arrays), shape)

    parts = [tf.convert_to_tensor(part) for part in tree.flatten(x)]
    return tf.ensure_shape(tf.numpy_function(call, parts, tf.float32), shape)


def _check_shape(teacher: Callable, found, wanted):
    """Raise ValueError if a teacher knows other classes than its student."""
    same = len(found) == len(wanted) and all(
        None in pair or pair[0] == pair[1]
        for pair in zip(found[1:-1], wanted[1:-1], strict=True)
    )
    both = {found[-1], wanted[-1]} if len(found) else set()
    if not (same and (len(both) == 1 or both == {1, 2})):
        raise ValueError(
            "A teacher must give one probability for each class of its student. "
            f"Received: {name_of(teacher)}, which returns shape {tuple(found)} where "
            f"the student returns {tuple(wanted)}. Use a classifier of the same "
            "classes, such as forest.predict_proba, not forest.predict."
        )


def _check_values(teacher, found):
    """Raise ValueError if an array does not hold probabilities."""
    sums = found.sum(-1) if found.shape[-1] > 1 else np.ones(1)
    inside = (found >= 0) & (found <= 1 + ROUNDING)  # NaN is not
    if not (inside.all() and np.abs(sums - 1).max(initial=0) < ROUNDING):
        raise ValueError(
            "A teacher that is not a Keras model must return probabilities, in [0, 1] "
            f"and of sum 1 for each row. Received: {name_of(teacher)}, which returns "
            f"values from {found.min():.4g} to {found.max():.4g} and sums from "
            f"{sums.min():.4g} to {sums.max():.4g}. Apply a softmax to logits."
        )
