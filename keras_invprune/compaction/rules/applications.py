"""Layers that only networks of `keras.applications` have."""

from collections.abc import Collection
from typing import Any

import numpy as np

from keras_invprune.compaction.channels import Channels
from keras_invprune.compaction.channelwise import AXIS, ChannelWise, one_axis
from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.rule import Call, Sides, rule
from keras_invprune.compaction.rules.elementwise import Elementwise


@rule("applications.StochasticDepth")
class StochasticDepth(Elementwise):
    """The rule of the layer that leaves out branches in training (ConvNeXt)."""


@rule("applications.LayerScale")
class LayerScale(ChannelWise):
    """The rule of the layer that multiplies each channel by a weight (ConvNeXt)."""

    def channels(self, call: Call) -> Channels:
        """Return the last axis."""
        last = len(call.read.shape) - 1
        return one_axis(call, last, weights={"gamma": (AXIS,)})

    def open(self, layer: Any, channels: Channels) -> np.ndarray:
        """Return where the weight is not zero."""
        return array(layer.gamma) != 0

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the number of channels."""
        return {"projection_dim": int(kept[AXIS].sum())}
