"""Random versions of tabular rows."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_invprune.arguments import plain
from keras_invprune.contracts import Tensor
from keras_invprune.views._checks import number
from keras_invprune.views._draws import integers

KEY_BITS = 31


def distinct_keys(shape: Sequence, seed: keras.random.SeedGenerator) -> Tensor:
    """Draw random integers in [0, 2^31 - 1), all different within a row.

    Args:
        shape: (rows, columns). The number of columns must be known; the number of rows
            may be a tensor.
        seed: A `keras.random.SeedGenerator`.

    Returns:
        int32 of that shape.
    """
    columns = shape[1]
    levels = (2**KEY_BITS - 1) // columns
    draws = integers(shape, 0, levels, seed)
    return draws * columns + ops.arange(columns, dtype="int32")


def smallest(keys: Tensor, count: int) -> Tensor:
    """Mark the `count` smallest keys of each row.

    It finds, bit by bit, the largest threshold with at most `count` keys below it. XLA
    sorts slowly on CPUs: for 128 rows of 784, this takes a quarter of the time of one
    sort, and for 3072 a tenth.

    Args:
        keys: int32 in [0, 2^31 - 1), all different within a row, [rows, columns].
        count: Number of keys to mark in each row, in [0, columns].

    Returns:
        bool of shape [rows, columns], with exactly `count` True in each row.
    """

    def set_bit(step: Tensor, threshold: Tensor) -> Tensor:
        higher = threshold + ops.left_shift(1, KEY_BITS - 1 - step)
        below = ops.sum(ops.cast(keys < higher, "int32"), axis=1, keepdims=True)
        return ops.where(below <= count, higher, threshold)

    # A loop, because XLA takes ten times as long to compile the unrolled steps.
    threshold = ops.fori_loop(0, KEY_BITS, set_bit, ops.zeros_like(keys[:, :1]))
    return keys < threshold


@keras.saving.register_keras_serializable(package="keras_invprune")
class ScarfCorruption(keras.layers.Layer):
    """Replaces random features of each row by those of one other random row.

    In each row, `int(rate * features)` features are chosen uniformly without
    replacement. All take their values from one other row, which is drawn uniformly from
    the batch, or from `reference`. Each feature thus keeps its marginal distribution.
    The layer is active in both training and inference.

    Args:
        rate: Share of the features to replace, in [0, 1].
        reference: None, or an array [rows, features] of data to draw from. It becomes a
            non-trainable weight and is saved with the model.
        seed: Integer, or None for different draws in each run.
        **kwargs: Keywords of `keras.layers.Layer`. `dtype` is "float32" by default,
            also under mixed precision.

    Example:
        >>> rows = np.random.rand(16, 10)
        >>> corrupted = ScarfCorruption(rate=0.3, seed=0)(rows)
        >>> int((np.asarray(corrupted) != rows.astype("float32")).sum(axis=1).max())
        3

    Raises:
        ValueError: If `rate` is outside [0, 1], or if `reference` is empty or not of
            rank 2.

    Source:
        Bahri et al. 2022, SCARF: self-supervised contrastive learning using random
        feature corruption, algorithm 1, which draws a row for each feature. Drawing one
        row for all of them follows "Neural network pruning for invariance learning".
    """

    rank = 2
    """Rank of the input, for `check_views`."""

    def __init__(
        self,
        rate: float = 0.5,
        reference: Tensor | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.rate = number("rate", rate)
        self.seed = plain(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.reference = None if reference is None else self._keep(reference)

    def _keep(self, reference: Tensor) -> keras.Variable:
        reference = ops.convert_to_numpy(reference)
        if reference.ndim != 2 or 0 in reference.shape:
            raise ValueError(
                "`reference` must be a non-empty array of shape [rows, features]. "
                f"Received: shape={reference.shape}."
            )
        weight = self.add_weight(
            name="reference", shape=reference.shape, trainable=False
        )
        weight.assign(reference)
        return weight

    def call(self, rows: Tensor) -> Tensor:
        """Return a corrupted version of each row.

        Args:
            rows: [batch, features], of any float dtype.

        Raises:
            ValueError: If `rows` is not of rank 2, or if its number of features is
                unknown or differs from that of `reference`.
        """
        self._check(rows.shape)
        rows = ops.cast(rows, self.compute_dtype)
        keys = distinct_keys(ops.shape(rows), self.seed_generator)
        replaced = smallest(keys, int(self.rate * rows.shape[1]))
        return ops.where(replaced, self._donors(rows), rows)

    def _donors(self, rows: Tensor) -> Tensor:
        """Return another row of the data for each row."""
        batch, generator = ops.shape(rows)[0], self.seed_generator
        if self.reference is not None:
            count = self.reference.shape[0]
            chosen = integers((batch,), 0, count, generator)
            return ops.take(ops.cast(self.reference, rows.dtype), chosen, axis=0)
        # A step of 1 to batch - 1, modulo the batch, never leads back to the same row.
        # In a batch of one row, there is no other, and step 1 leads back to it.
        step = integers((batch,), 1, ops.maximum(batch, 2), generator)
        own = ops.arange(batch, dtype="int32")  # int64 if floatx is float64
        return ops.take(rows, (own + step) % batch, axis=0)

    def _check(self, shape: Sequence[int | None]) -> None:
        if len(shape) != self.rank or shape[1] is None:
            raise ValueError(
                "ScarfCorruption needs rows of shape [batch, features] with a known "
                f"number of features. Received: shape={tuple(shape)}. For images, use "
                "`keras_invprune.views.images()`."
            )
        if self.reference is not None and self.reference.shape[1] != shape[1]:
            raise ValueError(
                "`reference` must have as many features as the input. Received: a "
                f"reference with {self.reference.shape[1]} features, an input with "
                f"{shape[1]}."
            )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs, with only the shape of `reference`."""
        shape = None if self.reference is None else list(self.reference.shape)
        config = {"rate": self.rate, "reference_shape": shape, "seed": self.seed}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the layer; `reference` is zero until its weights are loaded.

        Args:
            config: The dictionary that `get_config` returned.
        """
        config = dict(config)
        shape = config.pop("reference_shape", None)
        reference = None if shape is None else ops.zeros(shape)
        return cls(reference=reference, **config)
