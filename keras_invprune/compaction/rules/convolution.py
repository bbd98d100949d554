"""Convolutions: sums over input channels, at each position."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from keras_invprune.compaction.channels import Channels
from keras_invprune.compaction.mixing import IN, OUT, Mixing, array, sides
from keras_invprune.compaction.rule import Call, Sides, channel_axis, rule


def borders(layer: Any) -> bool:
    """Return whether a convolution reads zeros next to its input."""
    return layer.padding != "valid" and max(layer.kernel_size) > 1


class Convolving(Mixing):
    """What the rules of all convolutions share."""

    units = "filters"

    def slots(self, layer: Any, source: int) -> dict[str, tuple]:
        """Return the axes of the weights.

        Args:
            layer: The layer.
            source: The number of input channels.
        """
        raise NotImplementedError

    def channels(self, call: Call) -> Channels:
        """Return the input channels and the filters."""
        position = channel_axis(call.operation, len(call.read.shape))
        found = sides(call, position)
        weights = self.slots(call.operation, found["sizes"][IN])
        return Channels(**found, weights=weights)

    def pads(self, layer: Any) -> bool:
        """Return whether zeros are set next to the inputs."""
        return borders(layer)


@rule("Conv1D", "Conv2D", "Conv3D")
class Convolution(Convolving):
    """The rule of convolutions, also in groups."""

    def slots(self, layer: Any, source: int) -> dict[str, tuple]:
        """Return the axes of the weights; a kernel in groups is cut by `cut`."""
        inputs = IN if layer.groups == 1 else None
        return {"kernel": (*[None] * layer.rank, inputs, OUT), "bias": (OUT,)}

    def channels(self, call: Call) -> Channels:
        """Return the input channels and the filters, and their groups."""
        found, groups = super().channels(call), call.operation.groups
        if groups == 1:
            return found
        return Channels(**{**vars(found), "groups": {IN: groups, OUT: groups}})

    def matrix(self, layer: Any, reduce: Callable) -> np.ndarray:
        """Return the kernel as (inputs, outputs), with zeros between groups."""
        kernel = super().matrix(layer, reduce)
        rows, columns = kernel.shape[0], kernel.shape[1] // layer.groups
        found = np.zeros((rows * layer.groups, kernel.shape[1]), kernel.dtype)
        for group in range(layer.groups):
            row = slice(group * rows, (group + 1) * rows)
            column = slice(group * columns, (group + 1) * columns)
            found[row, column] = kernel[:, column]
        return found

    def cut(
        self, layer: Any, path: str, weight: np.ndarray, channels: Channels, kept: Sides
    ) -> np.ndarray:
        """Return a weight without the channels that go, group by group."""
        if path != "kernel" or not channels.groups:
            return super().cut(layer, path, weight, channels, kept)
        count = channels.groups[IN]
        parts = np.split(weight, count, -1)
        sources, targets = (kept[axis].reshape(count, -1) for axis in (IN, OUT))
        cut = [
            part[..., source, :][..., target]
            for part, source, target in zip(parts, sources, targets, strict=True)
            if target.any()
        ]
        return np.concatenate(cut, -1)

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the numbers of filters and groups."""
        groups = kept[OUT].reshape(layer.groups, -1).any(1).sum()
        entries = super().config(layer, channels, kept, revised)
        return {**entries, "groups": int(groups)}


@rule("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
class Transposed(Convolving):
    """The rule of transposed convolutions."""

    def slots(self, layer: Any, source: int) -> dict[str, tuple]:
        """Return the axes of the weights: outputs come first."""
        return {"kernel": (*[None] * layer.rank, OUT, IN), "bias": (OUT,)}

    def matrix(self, layer: Any, reduce: Callable) -> np.ndarray:
        """Return the kernel as (inputs, outputs)."""
        return super().matrix(layer, reduce).T

    def pads(self, layer: Any) -> bool:
        """Return whether positions differ in the part of the kernel that they see."""
        return max(*layer.kernel_size, *layer.strides) > 1


@rule("SeparableConv1D", "SeparableConv2D")
class Separable(Convolving):
    """The rule of a depthwise convolution followed by one of single positions."""

    def slots(self, layer: Any, source: int) -> dict[str, tuple]:
        """Return the axes of the weights."""
        between = np.repeat(np.arange(source), layer.depth_multiplier)
        free = [None] * layer.rank
        return {
            "depthwise_kernel": (*free, IN, None),
            "pointwise_kernel": (*free, (IN, between), OUT),
            "bias": (OUT,),
        }

    def matrix(self, layer: Any, reduce: Callable) -> np.ndarray:
        """Return the product of both kernels as (inputs, outputs)."""
        axes = tuple(range(layer.rank))
        depthwise = reduce(array(layer.depthwise_kernel), axes)
        pointwise = array(layer.pointwise_kernel).squeeze(axes)
        pointwise = pointwise.reshape(*depthwise.shape, -1)
        return np.einsum("cm,cmf->cf", depthwise, pointwise)

    def connected(self, layer: Any) -> np.ndarray:
        """Return which inputs reach which outputs."""
        axes = tuple(range(layer.rank))
        depthwise = np.any(array(layer.depthwise_kernel) != 0, axes)
        pointwise = array(layer.pointwise_kernel).squeeze(axes) != 0
        pointwise = pointwise.reshape(*depthwise.shape, -1)
        return np.any(depthwise[:, :, None] & pointwise, 1)
