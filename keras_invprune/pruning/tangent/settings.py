"""The settings of neural tangent transfer."""

import dataclasses

import keras

from keras_invprune.arguments import is_integer, is_positive_integer
from keras_invprune.contracts import ScoreLike


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """The loss, the masks and the optimizer of `neural_tangent_transfer`.

    Args:
        kernel_weight: λ_K ≥ 0.
        penalty: λ_2 ≥ 0, the weight of the sum of squares of the masked weights, which
            is divided by the density. The authors use 0.00001 for convolutional
            networks.
        kernel_rows: Number of rows of a batch that the kernel is computed on; None for
            all. The kernel takes most of the time, which grows with the rows: give
            convolutions fewer.
        mask_every: Number of steps between two renewals of the masks. If the length
            of the data is known, the masks are not renewed in the last steps.
        first_score: Score of the first masks, e.g. "magnitude" or "logit_snip", which
            reads the first batch of the data.
        optimizer: A Keras optimizer; None for Adam with learning rate 0.0005.
        batch_size: Number of rows of a batch of arrays; the kernel is computed between
            its halves.
        jit_compile: See `keras.Model.compile`; "auto" turns XLA off if a layer
            convolves in groups.

    Raises:
        ValueError: If one of them is out of range.

    Source:
        Liu and Zenke 2020 (2006.08228), the authors' code: its settings for MNIST and
        fully connected networks are the defaults.
    """

    kernel_weight: float = 1e-3
    penalty: float = 1e-4
    kernel_rows: int | None = None
    mask_every: int = 100
    first_score: str | ScoreLike = "magnitude"
    optimizer: keras.optimizers.Optimizer | None = None
    batch_size: int = 64
    jit_compile: bool | str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (self.kernel_weight >= 0 and self.penalty >= 0):
            raise ValueError(
                "`kernel_weight` (λ_K) and `penalty` (λ_2) must be >= 0. Received: "
                f"kernel_weight={self.kernel_weight}, penalty={self.penalty}."
            )
        rows = self.kernel_rows
        if rows is not None and not (is_integer(rows) and rows >= 2):
            raise ValueError(f"`kernel_rows` must be at least 2. Received: {rows!r}.")
        for name, unit in (("mask_every", " step"), ("batch_size", "")):
            value = getattr(self, name)
            if not is_positive_integer(value):
                raise ValueError(
                    f"`{name}` must be at least 1{unit}. Received: {value!r}."
                )
