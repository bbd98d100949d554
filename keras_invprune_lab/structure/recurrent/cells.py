"""Recurrent cells, forward and backward, for many blocks of cells at once.

A block is one recurrent layer. All have `m` units and the same batch. Arrays hold the
batch last, so that a step is elementwise over long rows:

- states [blocks, m, batch],
- what a step reads, ``x`` from below and ``q`` from the previous step, each with its
  bias: [blocks, gates, m, batch], gates in Keras's order.

A cell is two functions. ``step(x, q, states)`` returns the new states, the first of
which is the output, and what the way back needs. ``back(kept, states, slopes)`` gets
the states before the step and the derivatives of the loss by those after it. It returns
the derivatives by x, by q, and by the states before the step as far as they do not go
through q. Automatic differentiation of a loop would keep every value of every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any
States = tuple[Tensor, ...]


class Cell(NamedTuple):
    """A kind of recurrent cell.

    Attributes:
        keras: Name of the cell in `keras_invprune.priors.recurrent`.
        activation: Name of the activation of new values.
        gates: Number of gates, the new value included.
        states: Number of states.
        kept: Number of arrays that `step` keeps.
        two_biases: Whether ``q`` has a bias of its own, as in Keras's GRU.
        step: ``(x, q, states) -> (states, kept)``.
        back: ``(kept, states, slopes) -> (by x, by q, by the states)``.
    """

    keras: str
    activation: str
    gates: int
    states: int
    kept: int
    two_biases: bool
    step: Callable[[Tensor, Tensor, States], tuple[States, tuple]]
    back: Callable[[tuple, States, States], tuple[Tensor, Tensor, States]]


def _by_gates(*gates):
    """Return arrays [blocks, m, batch] as one, [blocks, gates, m, batch].

    A chain of choices, which XLA computes in the loop that uses it, while `tf.stack`
    copies: the way back takes half as long.
    """
    found, number = gates[-1][:, None], tf.range(len(gates))[:, None, None]
    for gate in reversed(range(len(gates) - 1)):
        found = tf.where(number <= gate, gates[gate][:, None], found)
    return found


def _tanh_step(x, q, states):
    del states
    h = tf.tanh((x + q)[:, 0])
    return (h,), (h,)


def _tanh_back(kept, states, slopes):
    del states
    (h,), (d,) = kept, slopes
    by = (d * (1 - h * h))[:, None]
    return by, by, (tf.zeros_like(d),)


def _relu_step(x, q, states):
    del states
    h = tf.nn.relu((x + q)[:, 0])
    return (h,), (h,)


def _relu_back(kept, states, slopes):
    del states
    (h,), (d,) = kept, slopes
    by = tf.where(h > 0, d, tf.zeros_like(d))[:, None]
    return by, by, (tf.zeros_like(d),)


def _gru_step(x, q, states):
    # h' = z h + (1 - z) tanh(x_n + r q_n)
    (h,) = states
    z, r = tf.sigmoid(x[:, 0] + q[:, 0]), tf.sigmoid(x[:, 1] + q[:, 1])
    new = tf.tanh(x[:, 2] + r * q[:, 2])
    return (z * h + (1 - z) * new,), (z, r, new, q[:, 2])


def _gru_back(kept, states, slopes):
    z, r, new, q = kept
    (h,), (d,) = states, slopes
    by_new = d * (1 - z) * (1 - new * new)
    by_z, by_r = d * (h - new) * z * (1 - z), by_new * q * r * (1 - r)
    by_x = _by_gates(by_z, by_r, by_new)
    by_q = _by_gates(by_z, by_r, by_new * r)
    return by_x, by_q, (d * z,)


def _lstm_step(x, q, states):
    # c' = f c + i g, h' = o tanh(c')
    _, c = states
    a = x + q
    i, f, o = tf.sigmoid(a[:, 0]), tf.sigmoid(a[:, 1]), tf.sigmoid(a[:, 3])
    g = tf.tanh(a[:, 2])
    c = f * c + i * g
    curved = tf.tanh(c)
    return (o * curved, c), (i, f, g, o, curved)


def _lstm_back(kept, states, slopes):
    i, f, g, o, curved = kept
    (_, c), (by_h, by_c) = states, slopes
    by_c = by_c + by_h * o * (1 - curved * curved)
    by = _by_gates(
        by_c * g * i * (1 - i),
        by_c * c * f * (1 - f),
        by_c * i * (1 - g * g),
        by_h * curved * o * (1 - o),
    )
    return by, by, (tf.zeros_like(by_h), by_c * f)


CELLS = {
    "tanh": Cell("simple", "tanh", 1, 1, 1, False, _tanh_step, _tanh_back),
    "relu": Cell("simple", "relu", 1, 1, 1, False, _relu_step, _relu_back),
    "gru": Cell("gru", "tanh", 3, 1, 4, True, _gru_step, _gru_back),
    "lstm": Cell("lstm", "tanh", 4, 2, 5, False, _lstm_step, _lstm_back),
}


class Weights(NamedTuple):
    """The weights of blocks.

    Attributes:
        kernel: Of what is read, [blocks, gates, m, width].
        recurrent: Of the previous step, [blocks, gates, m to, m from].
        bias: Of the former, [blocks, gates, m].
        recurrent_bias: Of the latter, of the same shape; zeros if a cell has one bias.
    """

    kernel: Tensor
    recurrent: Tensor
    bias: Tensor
    recurrent_bias: Tensor


def scan(cell: Cell, read: Tensor, weights: Weights, letters: bool = False) -> Tensor:
    """Return the outputs of all steps, from states of zero.

    Whatever is needed of a step is computed within it, so that it is still in the
    processor's cache: memory is what takes the time of small networks.

    Args:
        cell: What a step does.
        read: What each step reads from below, [steps, blocks, width, batch].
        weights: Of the blocks.
        letters: Whether `read` is data, so that nobody needs the derivative by it.

    Returns:
        [steps, blocks, m, batch].
    """

    @tf.custom_gradient
    def whole(read, *weights):
        own = Weights(*weights)
        states, kept = _forward(cell, read, own)

        def grad(slopes):
            by_read, by_weights = _backward(
                cell, read, own, states, kept, slopes, letters
            )
            return by_read, *by_weights

        return states[0], grad

    return whole(read, *weights)


def _forward(cell, read, weights):
    """Return the states of all steps, and what the way back needs."""
    steps, batch = read.shape[0], read.shape[-1]
    blocks, _, units, _ = weights.kernel.shape
    zeros = tf.zeros([blocks, units, batch])
    arrays = [_array(steps, zeros.shape) for _ in range(cell.states + cell.kept)]

    def step(t, states, arrays):
        x = tf.einsum("kgij,kjb->kgib", weights.kernel, read[t])
        q = tf.einsum("kgij,kjb->kgib", weights.recurrent, states[0])
        states, kept = cell.step(
            x + weights.bias[..., None], q + weights.recurrent_bias[..., None], states
        )
        pairs = zip(arrays, (*states, *kept), strict=True)
        return t + 1, states, [array.write(t, value) for array, value in pairs]

    _, _, arrays = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (0, (zeros,) * cell.states, arrays),
        maximum_iterations=steps,
    )
    found = [array.stack() for array in arrays]
    return found[: cell.states], found[cell.states :]


def _backward(cell, read, weights, states, kept, slopes, letters):
    """Return the derivatives of the loss by what was read, and by the weights."""
    steps, blocks, units, batch = slopes.shape
    zeros = tf.zeros([blocks, units, batch])
    ones = tf.ones([batch])  # XLA's products are many times as fast as its sums
    array = [] if letters else [_array(steps, read.shape[1:])]

    def step(t, carried, sums, array):
        before = [tf.where(t > 0, one[tf.maximum(t - 1, 0)], zeros) for one in states]
        now = (carried[0] + slopes[t], *carried[1:])
        by_x, by_q, direct = cell.back(
            tuple(one[t] for one in kept), tuple(before), now
        )
        parts = Weights(
            tf.einsum("kgib,kjb->kgij", by_x, read[t]),
            tf.einsum("kgib,kjb->kgij", by_q, before[0]),
            tf.einsum("kgib,b->kgi", by_x, ones),
            tf.einsum("kgib,b->kgi", by_q, ones),
        )
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
        through = tf.einsum("kgij,kgib->kjb", weights.recurrent, by_q)
        if array:
            by_read = tf.einsum("kgij,kgib->kjb", weights.kernel, by_x)
            array = [array[0].write(t, by_read)]
        return t - 1, (direct[0] + through, *direct[1:]), sums, array

    _, _, sums, array = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (
            steps - 1,
            (zeros,) * cell.states,
            [tf.zeros_like(weight) for weight in weights],
            array,
        ),
        maximum_iterations=steps,
    )
    return array[0].stack() if array else None, sums


def _array(steps, shape):
    return tf.TensorArray("float32", steps, element_shape=shape)
