"""Runs a model batch by batch, with its batch size and its states."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from keras_invprune.graph.weights import walk

BATCH = 32
Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""Runs a model or a file: from arrays by name to arrays by name."""


def in_batches(
    run: Run, inputs: dict[str, np.ndarray], batch: int | None = None
) -> dict[str, np.ndarray]:
    """Run a callable on all rows, batch by batch, and join its outputs.

    Args:
        run: A callable from arrays by name to arrays by name.
        inputs: Arrays by name, with the same number of rows.
        batch: Exact number of rows that `run` takes. The last batch is padded, and the
            outputs for the padding are dropped. None: any number.

    Returns:
        Arrays by name, with a row for each row of the inputs.
    """
    size = batch or BATCH
    rows = len(next(iter(inputs.values())))
    parts = []
    for start in range(0, rows, size):
        end = start + size if batch else min(start + size, rows)
        chosen = np.arange(start, end) % rows
        parts.append(run({name: array[chosen] for name, array in inputs.items()}))
    return {
        # Some models return a scalar for a whole batch.
        name: np.concatenate([np.atleast_1d(part[name]) for part in parts])[:rows]
        for name in parts[0]
    }


def stateful_layers(model: keras.Model) -> list:
    """Return the layers that carry states from one batch to the next."""
    return [layer for _, layer in walk(model) if getattr(layer, "stateful", False)]


def reset_states(model: keras.Model) -> None:
    """Reset all states of the model's layers."""
    for layer in stateful_layers(model):
        states = keras.tree.flatten(getattr(layer, "states", None))
        if all(state is None for state in states):  # the states are elsewhere
            layer.reset_state()
        # Keras 3.15 cannot reset the states of several cells.
        for state in [state for state in states if state is not None]:
            state.assign(keras.ops.zeros_like(state))


@contextlib.contextmanager
def states_kept(model: keras.Model) -> Iterator[None]:
    """Restore the model's states at the end of the context."""
    layers = stateful_layers(model)
    states = keras.tree.flatten([getattr(one, "states", None) for one in layers])
    kept = [(state, state.numpy()) for state in states if state is not None]
    try:
        yield
    finally:
        for state, value in kept:
            state.assign(value)
