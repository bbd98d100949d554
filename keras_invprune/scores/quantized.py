"""Quantized training: pruning for a file of integers, whatever the score."""

from typing import Any, Literal, Self

import keras
from keras import ops

from keras_invprune.contracts import Arrays, Rounding, Score, ScoreLike, Tensor
from keras_invprune.graph.layouts import TRANSPOSED
from keras_invprune.graph.prunable import is_depthwise
from keras_invprune.saving import Configured, load_object, resolve, save_object
from keras_invprune.scores._known import KNOWN, known_as

ROLE = "plan.score.score"  # where a message says that a missing score belongs
KEPT = (keras.layers.Conv3D, keras.layers.Conv3DTranspose)  # as floats in the file
LEAST = 1e-9  # of the largest weight of a channel, so that no scale is zero


@known_as("quantized")
class Quantized(Score):
    """Ranks weights by another score, while layers read them as integers times a scale.

    In training and in evaluation, kernels are read as the quantized file will hold
    them, including those that are not pruned: symmetric, with one scale for each output
    channel. So one `fit` prunes a network and trains it for this file. Zeros stay zero.
    The optimizer changes weights that are not rounded, by the gradients of the rounded
    ones. Scores see the network without rounding. `strip_pruning` returns rounded
    weights, and their file has the same scales and integers.

    Kept weights below half a scale are rounded to zero, so the file may have more zeros
    than the masks. Embeddings, biases and activations are trained as floats. So are the
    kernels that the file holds as floats: of 3D convolutions and, with 4 bits, of
    depthwise and transposed ones.

    Args:
        score: Any other score: a name, an object or a callable.
        bits: 8 or 4, the bits of a weight.

    Example:
        >>> from keras_invprune import prune
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
        >>> score = Quantized("magnitude", bits=4)
        >>> pruned = prune(model, 0.5, score=score, select=["dense"])

    Raises:
        ValueError: If `bits` is another number, or `score` is quantized already.

    Source:
        Jacob et al. 2018, Quantization and training of neural networks for efficient
        integer-arithmetic-only inference (1712.05877), section 3, without a zero point
        and for weights only; Bengio, Léonard and Courville 2013 (1308.3432), the
        straight-through estimator. Scales are those of litert-quantizer.
    """

    suits = {"schedule": "gradual"}

    def __init__(self, score: str | ScoreLike = "magnitude", bits: int = 8):
        found = resolve(score, KNOWN, "score")
        self.score: ScoreLike = found() if isinstance(found, type) else found
        if isinstance(self.score, Quantized):
            raise ValueError(
                "Quantized cannot wrap another Quantized. Received: "
                f"score={score!r}. Pass the score inside it."
            )
        self.grid = Grid(bits)
        self.bits = self.grid.bits
        # The model's weights are made from it, so it stays if the score is replaced.
        self.effective = Score.of(self.score).effective

    # Read again, since a score that was missing on loading may be given later.

    @property
    def examples(self) -> int | tuple | None:  # type: ignore[override]
        """What the other score needs."""
        return Score.of(self.score).examples

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """The rounds of the other score."""
        return Score.of(self.score).rounds

    @property
    def rewires(self) -> bool | None:  # type: ignore[override]
        """Whether the other score moves connections."""
        return Score.of(self.score).rewires

    @property
    def updates(self) -> Literal["one", "several"] | None:  # type: ignore[override]
        """How often the other score must be asked."""
        return Score.of(self.score).updates

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether the other score is learned in training."""
        return Score.of(self.score).learns

    def __call__(self, weights: Arrays, model: object) -> Arrays:
        """Return the scores of the other score."""
        return self.score(weights, model)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"score": save_object(self.score, ROLE), "bits": self.bits}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the score of a config; another score that is missing raises on use."""
        return cls(load_object(config["score"], ROLE), config["bits"])


@keras.saving.register_keras_serializable(package="keras_invprune")
class Grid(Configured, Rounding):
    """The multiples of a scale s that integers of some bits can hold, with gradient 1.

    With the largest integer L = 2^(bits - 1) - 1, and the maximum over a channel::

        s = max |w| / L,    w' = s · round(w / s)

    Args:
        bits: 8 or 4.

    Raises:
        ValueError: If `bits` is another number.
    """

    def __init__(self, bits: int):
        if bits not in (4, 8):
            raise ValueError(
                "`bits` are those of a weight in LiteRT and must be 4 or 8. Received: "
                f"bits={bits!r}."
            )
        self.bits = int(bits)

    def rounds(self, layer: keras.Layer, variable: keras.Variable) -> bool:
        """Return whether litert-quantizer rounds a kernel to these bits."""
        if isinstance(layer, KEPT):
            return False
        only_8 = is_depthwise(layer, variable) or isinstance(layer, TRANSPOSED)
        return self.bits == 8 or not only_8

    def __call__(self, weight: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return w', of the weight's shape and dtype.

        Args:
            weight: The weight w.
            axes: The axes over which a channel extends.
        """
        # Half precision has too few digits for 8 bits times a scale.
        w = ops.cast(weight, keras.backend.result_type(weight.dtype, "float32"))
        largest = ops.max(ops.abs(w), axis=axes, keepdims=True)
        scale = ops.maximum(largest, LEAST) / (2 ** (self.bits - 1) - 1)
        rounded = ops.cast(ops.round(w / scale) * scale, weight.dtype)
        return ops.stop_gradient(rounded) + (weight - ops.stop_gradient(weight))  # + 0
