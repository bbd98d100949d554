"""How the channels of a layer's inputs, outputs and weights correspond.

Nothing here knows which channels are alive. Liveness, surgery and groups of channels
that belong together all read these correspondences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

Slot = str | tuple[str, np.ndarray] | None


@dataclass(frozen=True)
class Port:
    """Connects the channels of a tensor with the channels of a layer's axis.

    Attributes:
        axis: The name of the axis.
        index: For each channel of the tensor, the channel of the axis that it is.
        position: The axis of the tensor that holds its channels.
    """

    axis: str
    index: np.ndarray
    position: int

    def spread(self, of_axis: np.ndarray) -> np.ndarray:
        """Return for each channel of the tensor what is said of that of the axis."""
        return of_axis[self.index]

    def gather(self, of_tensor: np.ndarray, size: int) -> np.ndarray:
        """Return whether something holds for any channel of the tensor, by axis."""
        found = np.zeros(size, bool)
        found[self.index[of_tensor]] = True
        return found


@dataclass(frozen=True)
class Signal:
    """A tensor of the graph.

    Attributes:
        number: Its place in the order of the calls.
        shape: Its shape; the first axis is the batch.
        position: The axis that holds its channels.
        dtype: The name of its type.
        masked: Whether a mask of steps may come with it, which layers read unasked.
    """

    number: int
    shape: tuple
    position: int
    dtype: str = "float32"
    masked: bool = False

    @property
    def size(self) -> int:
        """The number of channels."""
        return self.shape[self.position] if self.position > 0 else 1

    def to(self, axis: str, index: np.ndarray | None = None) -> Port:
        """Return the port that connects this tensor with an axis."""
        every = np.arange(self.size) if index is None else index
        return Port(axis, every, self.position)


@dataclass(frozen=True)
class Channels:
    """The axes of a layer, and what each of them connects.

    All that is connected with one channel of an axis is removed or kept together:
    channels of inputs, channels of outputs, rows and columns of weights.

    Attributes:
        sizes: ``{axis: number of channels}``.
        inputs: A port for each tensor that the layer reads. None if the layer needs
            all channels of the tensor.
        outputs: A port for each tensor that it makes. None if none can be removed.
        weights: ``{path of an attribute: a slot for each axis of the weight}``. A slot
            is the name of the axis, or the name and the channel of each index, or None
            if the axis of the weight is kept as it is.
        pinned: ``{axis: reason}`` of the axes that must be kept whole.
        groups: ``{axis: number of groups}`` that must stay equally large. A group goes
            only as a whole, on all of these axes.
        groups_stay: Whether no group can go.
        fixed: Whether the layer's config holds sizes, so that all calls must agree
            even if it has no weights.
    """

    sizes: Mapping[str, int]
    inputs: tuple[Port | None, ...]
    outputs: tuple[Port | None, ...]
    weights: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)
    pinned: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    groups_stay: bool = False
    fixed: bool = False

    @property
    def is_of_layer(self) -> bool:
        """Whether the axes belong to the layer rather than to one of its calls."""
        return bool(self.weights) or self.fixed

    def conflict(self, other: "Channels") -> str | None:
        """Return why two calls of a layer cannot share its axes, or None if they can.

        Args:
            other: The channels of another call of the layer.
        """
        if not (self.is_of_layer or other.is_of_layer):
            return None
        if self.sizes.keys() != other.sizes.keys():
            return "its calls differ in what they read"
        alike = (
            self.is_of_layer == other.is_of_layer
            and self.sizes == other.sizes
            and self.groups == other.groups
            and _same(self.weights, other.weights)
            and (not self.fixed or _same(self._made, other._made))
        )
        return None if alike else "its calls differ in size"

    @property
    def _made(self) -> dict[int, Any]:
        """What the config of a layer holds of its outputs: where channels are."""
        ports = enumerate(self.outputs)
        return {n: port and (port.position, port.index) for n, port in ports}


def _same(one: Any, other: Any) -> bool:
    """Return whether two structures hold the same names, numbers and indices."""
    parts, others = keras.tree.flatten(one), keras.tree.flatten(other)
    return len(parts) == len(others) and all(map(np.array_equal, parts, others))
