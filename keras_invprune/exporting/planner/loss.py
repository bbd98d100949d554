"""What a file loses against Keras: accuracy, R², agreement, or the user's metric."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_invprune.arguments import is_number
from keras_invprune.contracts import Nested
from keras_invprune.exporting.accuracy import (
    accuracy,
    predicted_classes,
    threshold_of,
)
from keras_invprune.exporting.batches import in_batches
from keras_invprune.exporting.verify import (
    Differs,
    SameOutputs,
    labels_of,
    sizes_of,
)
from keras_invprune.graph.outputs import is_text

Outputs = dict[str, np.ndarray]
AGREEMENT = "agreement"  # the metric without labels


def check_labels(metric: Callable[[Nested, Nested], float] | None, y: Nested) -> None:
    """Raise ValueError if there is a metric of the user's and no labels."""
    if metric is not None and y is None:
        raise ValueError(
            "`metric` compares outputs with labels. Received: no labels. Pass "
            "them: `data=(x, y)`."
        )


class Loss:
    """Computes a metric of files on the given rows. Higher is better.

    Args:
        same: The rows, and what Keras returns for them.
        y: The labels, or None.
        metric: The user's own ``(y, outputs) -> number``, or None.

    Attributes:
        name: "accuracy", "R²", "agreement" (with Keras), or "metric" for the user's.
        keras: The metric of the Keras model.
        step: What one row of another class loses, 1 / rows; 0 if the metric is not a
            share of rows.

    Raises:
        ValueError: If the user's metric fails, or is not a finite number.
    """

    def __init__(
        self, same: SameOutputs, y: Nested, metric: Callable[[Any, Any], float] | None
    ):
        self._inputs, self._expected = same.every
        self.name, self._metric = _metric(self._expected, y, metric)
        self.keras = self(self._expected)
        by_rows = self.name == "accuracy" or (
            self.name == AGREEMENT and any(map(_has_classes, self._expected.values()))
        )
        rows = len(next(iter(self._inputs.values())))
        self.step = 1 / rows if by_rows else 0.0

    def outputs(self, run: Callable, batch: int | None) -> Outputs:
        """Return what a function from arrays to arrays computes for all rows.

        Raises:
            Differs: If it is NaN or infinite where Keras is finite. This may happen in
                rows that were not compared.
        """
        found = in_batches(run, self._inputs, batch)
        for name, expected in self._expected.items():
            both = expected, found[name]
            wanted, got = (np.isfinite(sizes_of(output)) for output in both)
            if (wanted & ~got).any():
                raise Differs(f"output {name!r} is NaN or infinite in some rows")
        return found

    def __call__(self, outputs: Outputs) -> float:
        """Return the metric of the outputs for all rows.

        Raises:
            ValueError: If the user's metric fails, or is not a finite number.
        """
        found = self._metric(outputs)
        if not (is_number(found) and math.isfinite(found)):
            raise ValueError(
                f"`metric` must return a finite number, such as `float(...)` of a "
                f"tensor. Received: {found!r}."
            )
        return float(found)


def _metric(
    expected: Outputs, y: Nested, metric: Callable[[Nested, Nested], float] | None
) -> tuple[str, Callable[[Outputs], Any]]:
    if metric is not None:
        return "metric", lambda outputs: _users(metric, y, _alone(outputs))
    (first, *others) = expected.values()
    given = labels_of(y)
    if len(given) == 1 and not others:
        labels = np.asarray(given[0])
        if accuracy(first, labels) is not None:
            limit = threshold_of(first)
            return "accuracy", lambda outputs: accuracy(_alone(outputs), labels, limit)
        measured = labels.dtype.kind in "fiu" and not is_text(first)
        if measured and labels.size == first.size:
            target = labels.reshape(first.shape)
            return "R²", lambda outputs: _r2(_alone(outputs), target)
    return AGREEMENT, lambda outputs: _agreement(outputs, expected)


def _users(
    metric: Callable[[Nested, Nested], float], y: Nested, outputs: Nested
) -> float:
    """Return the user's metric; an error in it says that it is from there.

    One of Keras's counts anew, since it would go on from the rows of the last file.
    """
    try:
        if not isinstance(metric, keras.Metric):
            return metric(y, outputs)
        metric.reset_state()
        return float(metric(y, outputs))
    except Exception as error:
        raise ValueError(
            f"`metric` must return a number for labels and outputs. It raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _alone(outputs: Outputs) -> Nested:
    """Return the only array, or all of them by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _agreement(outputs: Outputs, expected: Outputs) -> float:
    """Return the least agreement of all outputs with Keras's."""
    return min(_same(outputs[name], array) for name, array in expected.items())


def _has_classes(outputs: np.ndarray) -> bool:
    return outputs.ndim == 2 and outputs.shape[1] > 1


def _same(found: np.ndarray, expected: np.ndarray) -> float:
    if is_text(expected):
        return float(np.mean(found == expected))
    if _has_classes(expected):
        same = predicted_classes(found) == predicted_classes(expected)
        return float(np.mean(same))
    return _r2(found, expected)


def _r2(found: np.ndarray, expected: np.ndarray) -> float:
    """Return 1 - Σ(found - expected)² / Σ(expected - mean)²; the mean over rows.

    If all rows are the same, it is 1 - the mean squared error.
    """
    found, expected = found.astype(float), expected.astype(float)
    # Less the first row, since the mean of equal numbers may differ from them.
    shifted = expected - expected[:1]
    total = np.square(shifted - shifted.mean(axis=0)).mean()
    error = np.square(found - expected).mean()
    return float(1 - error / (total or 1.0))
