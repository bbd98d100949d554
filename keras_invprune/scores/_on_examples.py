"""The base class of scores that read training examples."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_invprune.arguments import is_integer, is_number, is_positive_integer
from keras_invprune.contracts import Score, ScoreContext


class OnExamples(Score):
    """A score that reads training examples, without training on them.

    Args:
        examples: Number of examples that `fit` draws from its training data, at least
            1. Or the examples themselves, which `prune_to` outside of `fit` needs:
            ``(x, y)``, ``(x, y, sample_weight)``, or ``(x,)`` for a score that reads
            no labels.
        batch_size: Number of rows in a batch.

    Raises:
        ValueError: If `examples` is neither a positive integer nor a tuple of arrays
            with the same number of rows. On use: if there are no examples.

    Attributes:
        reads: What it reads of the examples, for messages.
    """

    reads = "(x, y)"

    def __init__(self, examples: int | tuple = 128, batch_size: int = 128):
        if isinstance(examples, tuple):
            _check_rows(examples)
        elif not is_positive_integer(examples):
            short = is_number(examples) or isinstance(examples, bool | str)
            given = f"examples={examples!r}" if short else type(examples).__name__
            raise ValueError(
                "`examples` must be a positive number of rows, or the rows themselves "
                f"in a tuple {self.reads}. Received: {given}."
            )
        self.examples = int(examples) if is_integer(examples) else examples
        self.batch_size = batch_size

    def batches(
        self, context: ScoreContext, only: int | None = None
    ) -> Iterator[tuple]:
        """Yield ``(x, y, sample_weight)`` in batches of tensors.

        Args:
            context: The context of the network.
            only: An integer that selects one batch, modulo their number. None for all
                batches.
        """
        own = self.examples
        rows = own if isinstance(own, tuple) else context.examples
        name = type(self).__name__
        if rows is None:
            raise ValueError(
                f"{name} needs training examples, and only `fit` can draw them from "
                f"its data. Elsewhere, pass them: {name}(examples={self.reads})."
            )
        rows = keras.utils.unpack_x_y_sample_weight(tuple(rows))
        count = len(keras.tree.flatten(rows[0])[0])
        starts = range(0, count, self.batch_size)
        for start in starts if only is None else [starts[only % len(starts)]]:
            part = slice(start, start + self.batch_size)
            yield keras.tree.map_structure(
                lambda a, part=part: (
                    None if a is None else tf.convert_to_tensor(a[part])
                ),
                rows,
            )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; examples are replaced by their number."""
        config = super().get_config()
        if isinstance(self.examples, tuple):
            config["examples"] = len(keras.tree.flatten(self.examples[0])[0])
        return config


def _check_rows(examples: tuple) -> None:
    """Raise ValueError unless all arrays have the same number of rows, at least 1."""
    leaves = [leaf for leaf in keras.tree.flatten(examples) if leaf is not None]
    if not all(len(getattr(leaf, "shape", ())) for leaf in leaves):
        raise ValueError("`examples` must be a tuple of arrays, such as (x, y).")
    counts = [int(leaf.shape[0]) for leaf in leaves]
    if not 1 <= len(examples) <= 3 or len(set(counts)) != 1 or not counts[0]:
        raise ValueError(
            "`examples` must be (x,), (x, y) or (x, y, sample_weight) with the same "
            f"number of rows in each. Received: {len(examples)} parts of {counts} rows."
        )
