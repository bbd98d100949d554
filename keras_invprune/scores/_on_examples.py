"""What scores share that look at training examples."""

import keras
import tensorflow as tf

from keras_invprune.contracts import Score, ScoreContext


class OnExamples(Score):
    """A score that reads training examples, without training on them.

    Args:
        examples: How many; `fit` draws them from its training data. Or the examples
            themselves, ``(x, y)`` or ``(x, y, sample_weight)``, also for `prune_to`
            outside of `fit`; ``(x,)`` for a score that reads no label.
        batch_size: Rows that go through the network at once.

    Raises:
        ValueError: Neither, or rows of unlike number. On use: there are none.

    Attributes:
        reads: What it reads of a row, for messages.
    """

    reads = "(x, y)"

    def __init__(self, examples: int | tuple = 128, batch_size: int = 128):
        if isinstance(examples, tuple):
            _check_rows(examples)
        elif not is_positive_integer(examples):
            short = isinstance(examples, int | float | str)
            given = f"examples={examples!r}" if short else type(examples).__name__
            raise ValueError(
                "`examples` is a number of rows, or the rows themselves in a tuple, "
                f"{self.reads}. Received: {given}."
            )
        self.examples = examples
        self.batch_size = batch_size

    def batches(self, context: ScoreContext, only: int | None = None):
        """Yields ``(x, y, sample_weight)`` in batches of tensors.

        Args:
            context: Of the network.
            only: An integer that picks one batch, whatever their number; None for all.
        """
        own = self.examples
        rows = own if isinstance(own, tuple) else context.examples
        name = type(self).__name__
        if rows is None:
            raise ValueError(
                f"{name} needs training examples. `fit` draws them from its data; "
                f"outside of it, give them: {name}(examples={self.reads})."
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

    def get_config(self):
        """Returns the arguments; of examples that were given, only their number."""
        config = super().get_config()
        if isinstance(self.examples, tuple):
            config["examples"] = len(keras.tree.flatten(self.examples[0])[0])
        return config


def is_positive_integer(value: object) -> bool:
    """Whether it is an `int` above zero, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_rows(examples):
    """Raises ValueError unless these are as many x as y and weights, and some."""
    leaves = [leaf for leaf in keras.tree.flatten(examples) if leaf is not None]
    if not all(len(getattr(leaf, "shape", ())) for leaf in leaves):
        raise ValueError("`examples` must hold arrays, such as (x, y).")
    counts = [int(leaf.shape[0]) for leaf in leaves]
    if not 1 <= len(examples) <= 3 or len(set(counts)) != 1 or not counts[0]:
        raise ValueError(
            "`examples` must be (x,), (x, y) or (x, y, sample_weight) with as many "
            f"rows in each. Received: {len(examples)} of {counts} rows."
        )
