"""Trains a stack: each network as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_invprune_lab.structure.recurrent.stack import Stack, Weights

RATE, CLIP, BATCH = 1e-3, 5.0, 128
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-7  # of Adam, as in Keras


def lengths(x: np.ndarray) -> np.ndarray:
    """Return the number of letters of each row, without the zeros at its end.

    Args:
        x: Numbers of letters, int [rows, steps].
    """
    return np.where(x != 0, np.arange(1, x.shape[1] + 1), 0).max(axis=1)


class Training:
    """The weights and moments of a stack, and a compiled step of all its networks.

    Each network has its own batch, its own loss, its own Adam and its own limit of the
    norm of all its gradients. The loss is the cross entropy, averaged over the batch.
    Zeros fill up the rows of a batch to the longest of them, and are read like letters.

    Args:
        stack: The networks.
        weights: Their weights, see `Stack.packed`.
        x: Numbers of letters, int [rows, steps], with zeros at the end.
        y: Classes, [rows].
        jit_compile: Whether XLA compiles the step, which takes seconds for each layer
            and makes it many times as fast.

    Source:
        Stier et al. 2021 (2107.12917) and its authors' code: Adam 1e-3, norm 5,
        batches of 128, each of which is as long as its longest string.
    """

    def __init__(
        self,
        stack: Stack,
        weights: Sequence[Weights],
        x: np.ndarray,
        y: np.ndarray,
        *,
        jit_compile: bool = True,
    ):
        self.stack = stack
        values = stack.packed(weights)
        self.variables = {name: tf.Variable(value) for name, value in values.items()}
        self.moments = {
            (name, order): tf.Variable(tf.zeros_like(value))
            for name, value in values.items()
            for order in (1, 2)
        }
        self.steps = tf.Variable(0.0)
        self._x, self._y = tf.constant(x, tf.int32), tf.constant(y, tf.int32)
        self._lengths = tf.constant(lengths(x), tf.int32)
        options = {"jit_compile": jit_compile, "autograph": False}
        self._step = tf.function(self._one_step, **options)
        self._predict = tf.function(self._logits, **options)

    def step(self, rows: np.ndarray) -> np.ndarray:
        """Train on a batch; return the loss of each network before the step.

        Args:
            rows: Numbers of the rows of each network's batch, int [networks, batch].
        """
        return self._step(tf.constant(rows, tf.int32)).numpy()

    def gradients(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of a batch, masked but not clipped, by array."""
        _, found = self._slopes(tf.constant(rows, tf.int32))
        return {name: slope.numpy() for name, slope in found.items()}

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the share of rows that each network classifies correctly.

        Args:
            x: Numbers of letters, int [rows, steps], read in batches as in training.
            y: Classes, [rows].
        """
        size = min(BATCH, len(x))
        right = np.zeros(self.stack.count)
        for start in range(0, len(x), size):
            part = x[start : start + size]
            padded = np.resize(part, (size, x.shape[1]))  # repeats the first rows
            end = tf.constant(lengths(part).max(), tf.int32)
            logits = self._predict(tf.constant(padded, tf.int32), end).numpy()
            classes = logits.argmax(axis=-1)[:, : len(part)]
            right += (classes == y[start : start + size]).sum(axis=1)
        return right / len(x)

    def weights(self) -> list[Weights]:
        """Return the weights of each network."""
        arrays = {name: variable.numpy() for name, variable in self.variables.items()}
        return self.stack.unpacked(arrays)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that the next step depends on."""
        found = {f"w {name}": v.numpy() for name, v in self.variables.items()}
        found |= {f"{o} {name}": v.numpy() for (name, o), v in self.moments.items()}
        return found | {"steps": self.steps.numpy()}

    def restore(self, state: dict[str, np.ndarray]):
        """Continue from what `state` has returned."""
        for name, variable in self.variables.items():
            variable.assign(state[f"w {name}"])
        for (name, order), variable in self.moments.items():
            variable.assign(state[f"{order} {name}"])
        self.steps.assign(state["steps"])

    def _logits(self, x, end):
        count = self.stack.count
        letters, ends = tf.repeat(x[None], count, axis=0), tf.repeat(end, count)
        return self.stack.logits(self.variables, letters, ends)

    def _slopes(self, rows):
        """Return the losses of the networks, and the masked gradients by array."""
        with tf.GradientTape() as tape:
            arrays = {n: tf.convert_to_tensor(v) for n, v in self.variables.items()}
            tape.watch(arrays)
            ends = tf.reduce_max(tf.gather(self._lengths, rows), axis=1)
            logits = self.stack.logits(arrays, tf.gather(self._x, rows), ends)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(self._y, rows), logits
            )
            losses = tf.reduce_mean(each, axis=1)
        found = tape.gradient(losses, arrays)
        masks = self.stack.masks
        return losses, {n: g * masks.get(n, 1.0) for n, g in found.items()}

    def _one_step(self, rows):
        losses, slopes = self._slopes(rows)
        factors = self._clipping(slopes)
        count = self.steps.assign_add(1.0)
        rate = RATE * tf.sqrt(1 - SECOND**count) / (1 - FIRST**count)
        for name, slope in slopes.items():
            factor = tf.gather(factors, self.stack.owners[name])
            slope *= tf.reshape(factor, [-1, *[1] * (len(slope.shape) - 1)])
            mean, square = self.moments[name, 1], self.moments[name, 2]
            mean.assign_add((slope - mean) * (1 - FIRST))
            square.assign_add((tf.square(slope) - square) * (1 - SECOND))
            change = rate * mean / (tf.sqrt(square) + SMALL)
            self.variables[name].assign_sub(change)
        return losses

    def _clipping(self, slopes) -> Any:
        """Return the factor of each network's gradients, [networks]."""
        squares = tf.zeros([self.stack.count])
        for name, slope in slopes.items():
            parts = tf.reduce_sum(tf.square(slope), axis=range(1, len(slope.shape)))
            squares += tf.math.unsorted_segment_sum(
                parts, self.stack.owners[name], self.stack.count
            )
        norms = tf.sqrt(squares)
        return CLIP / tf.maximum(norms, CLIP)
