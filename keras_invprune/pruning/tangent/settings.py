"""How a student is trained in neural tangent transfer."""

import dataclasses
from collections.abc import Callable

import keras


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """The loss, the masks and the optimizer of `neural_tangent_transfer`.

    Args:
        kernel_weight: λ_K ≥ 0.
        penalty: λ_2 ≥ 0, of the masked weights' squares; divided by the density. The
            authors have 0.00001 for convolutional networks.
        kernel_rows: Rows of a batch that the kernel is made of; None for all. It takes
            most of the time, and the more so the more rows: convolutions want fewer.
        mask_every: Steps between two renewals of the masks; none in the last ones,
            where the length of the data is known.
        first_score: Score of the first masks, e.g. "magnitude" or "logit_snip", which
            looks at the first batch of the data.
        optimizer: A Keras optimizer; None for Adam at 0.0005.
        batch_size: Rows of a batch of arrays; the kernel is that between its halves.
        jit_compile: See `keras.Model.compile`; "auto" leaves XLA out where a layer
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
    first_score: str | Callable = "magnitude"
    optimizer: keras.optimizers.Optimizer | None = None
    batch_size: int = 64
    jit_compile: bool | str = "auto"

    def __post_init__(self):
        """Checks the ranges."""
        if not (self.kernel_weight >= 0 and self.penalty >= 0):
            raise ValueError(
                "`kernel_weight` (λ_K) and `penalty` (λ_2) must be >= 0. Received: "
                f"kernel_weight={self.kernel_weight}, penalty={self.penalty}."
            )
        rows = self.kernel_rows
        if rows is not None and not (isinstance(rows, int) and rows >= 2):
            raise ValueError(f"`kernel_rows` must be at least 2. Received: {rows!r}.")
        for name, unit in (("mask_every", " step"), ("batch_size", "")):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(
                    f"`{name}` must be at least 1{unit}. Received: {value!r}."
                )
