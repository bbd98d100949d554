"""Cheap scores of the networks of a stack, before training.

They are those of `keras_invprune_lab.structure.prediction.proxies`, for many networks
at once and without a Keras model of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from keras_invprune.priors import Layered
from keras_invprune_lab.structure.prediction.proxies import (
    PROXIES,
    ROWS,
    alignment,
    logarithm,
)
from keras_invprune_lab.structure.recurrent.stack import CLASSES, Stack, Weights
from keras_invprune_lab.structure.recurrent.training import lengths

Arrays = dict[str, Any]
TOGETHER = 8  # rows at once, since memory grows with them


def cheap_scores(
    graphs: Sequence[Layered],
    cell: str,
    vocabulary: int,
    weights: Sequence[Weights],
    x: np.ndarray,
    y: np.ndarray,
) -> list[dict[str, float]]:
    """Return the cheap scores of each network, as ``{name: value}``.

    `proxies` describes them. Here, all read the first `proxies.ROWS` rows, as one batch
    as long as its longest row. Weights that a graph does not have count nowhere, also
    not in the tangent kernel. Rows of one class have the distance 1, and a flow too
    large for a float counts as the largest.

    Args:
        graphs: The graphs, all with the same number of layers.
        cell: A name in `cells.CELLS`.
        vocabulary: Number of letters.
        weights: Those of each network, see `Stack.packed`.
        x: Numbers of letters, int [rows, steps], two rows or more, with zeros at the
            end.
        y: Classes, [rows].

    Raises:
        ValueError: If the graphs have different numbers of layers.
    """
    count = min(ROWS, len(x)) // 2 * 2
    x, y = x[:count, : lengths(x[:count]).max()], y[:count]
    copies = _Copies(graphs, cell, vocabulary, x.shape[1], int(np.gcd(TOGETHER, count)))
    sizes = [{name: np.abs(value) for name, value in one.items()} for one in weights]
    ones = np.ones_like(x[: copies.count])
    _, flows = copies.slopes(copies.packed(sizes), ones, np.ones(CLASSES))
    logits, jacobians = copies.jacobians(weights, x)
    labels, found = np.eye(CLASSES)[y], []
    first, second = np.split(labels, 2)
    errors = (softmax(logits, axis=-1) - labels) / count  # ∂L/∂logits
    for n, own in enumerate(copies.first(weights)):
        slopes = {
            name: np.einsum("rc,crw->w", errors[n], jacobian)
            for name, jacobian in jacobians[n].items()
        }
        flow = copies.product(own, {name: g[0] for name, g in flows[n].items()})
        kernel = _kernel(jacobians[n])
        values = (
            logarithm(np.nan_to_num(flow, nan=np.inf)),  # what has overflowed
            logarithm(copies.product(own, slopes)),
            logarithm(np.sqrt(np.mean(kernel**2))),
            1 - alignment(kernel, first @ second.T),
        )
        found.append(dict(zip(PROXIES, values, strict=True)))
    return found


def _kernel(jacobian) -> np.ndarray:
    """Return the tangent kernel of the first half of the rows against the second."""
    halves = [np.split(one, 2, axis=1) for one in jacobian.values()]
    return sum(np.einsum("caw,cbw->ab", a, b) for a, b in halves) / CLASSES


class _Copies:
    """Some copies of each network, which read one row each.

    So a gradient of the sum of their outputs has a row of each network's Jacobian for
    each copy, and one program serves all scores.

    Attributes:
        count: Number of copies of each network.
    """

    def __init__(self, graphs, cell, vocabulary, steps, count):
        self.count, self.networks = count, len(graphs)
        copied = [graph for graph in graphs for _ in range(count)]
        self._stack = Stack(copied, cell, vocabulary)
        shapes = self._stack.shapes.items()
        # Traced by hand, since TensorFlow would take the functions of many stacks for
        # one that is traced again and again, and warn.
        self._slopes = tf.function(self._traced, autograph=False).get_concrete_function(
            {name: tf.TensorSpec(shape) for name, shape in shapes},
            tf.TensorSpec((self._stack.count, 1, steps), tf.int32),
            tf.TensorSpec((CLASSES,)),
        )

    def _traced(self, arrays, letters, output):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            ends = tf.repeat(letters.shape[2], self._stack.count)
            logits = self._stack.logits(arrays, letters, ends)
            total = tf.reduce_sum(logits * output)
        return logits, tape.gradient(total, arrays)

    def packed(self, weights) -> Arrays:
        """Return the arrays of all copies of networks with these weights."""
        copied = [one for one in weights for _ in range(self.count)]
        return self._stack.packed(copied)

    def slopes(self, arrays, rows, output) -> tuple[np.ndarray, list[Arrays]]:
        """Return the logits of each network, and gradients of an output by row.

        Args:
            arrays: See `packed`.
            rows: As many as there are copies, [rows, steps].
            output: The weight of each class, [classes].

        Returns:
            [networks, rows, classes], and ``{name: [rows, weights]}`` of each network.
        """
        letters = np.tile(rows, (self.networks, 1))[:, None]
        logits, found = self._slopes(
            {name: tf.constant(value) for name, value in arrays.items()},
            tf.constant(letters, tf.int32),
            tf.constant(output, tf.float32),
        )
        masked = {
            name: slope.numpy() * self._stack.masks.get(name, np.float32(1))
            for name, slope in found.items()
        }
        shape = (self.networks, self.count, CLASSES)
        return logits.numpy().reshape(shape), self._split(masked)

    def jacobians(self, weights, x) -> tuple[np.ndarray, list[Arrays]]:
        """Return the logits and Jacobians of each network.

        Returns:
            [networks, rows, classes], and ``{name: [classes, rows, weights]}`` of each.
        """
        arrays, starts = self.packed(weights), range(0, len(x), self.count)
        parts = [
            [self.slopes(arrays, x[s : s + self.count], output) for s in starts]
            for output in np.eye(CLASSES)
        ]
        logits = np.concatenate([part for part, _ in parts[0]], axis=1)
        found = [
            {
                name: np.array(
                    [np.concatenate([p[n][name] for _, p in own]) for own in parts],
                    "float64",
                )
                for name in self._stack.shapes
            }
            for n in range(self.networks)
        ]
        return logits.astype("float64"), found

    def first(self, weights) -> list[Arrays]:
        """Return the weights of each network, ``{name: [weights]}``."""
        copies = self._split(self.packed(weights))
        return [{name: value[0] for name, value in one.items()} for one in copies]

    def product(self, weights, slopes) -> float:
        """Return Σ |w · g| over what may be pruned: kernels, but not the outputs'."""
        names = [
            name
            for t in range(self._stack.depth)
            for name in (f"kernel_{t}", f"recurrent_{t}")
        ]
        return float(
            sum(np.abs(weights[n] * slopes[n].astype(float)).sum() for n in names)
        )

    def _split(self, arrays) -> list[Arrays]:
        owners = {name: own // self.count for name, own in self._stack.owners.items()}
        return [
            {k: v[owners[k] == n].reshape(self.count, -1) for k, v in arrays.items()}
            for n in range(self.networks)
        ]
