"""The wrapper that calls a layer at each step of a sequence: its entry and its exit."""

import numpy as np

from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.channelwise import AXIS, ChannelWise
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    OpaqueError,
    Rule,
    rule,
)

SEQUENCE = "sequence"


@rule("keras_invprune>FirstStep")
class First(ChannelWise):
    """The rule of the entry, behind which the axis of the steps is missing."""

    def channels(self, call: Call) -> Channels:
        """Return one axis.

        Raises:
            OpaqueError: If the steps are the channels.
        """
        signal = call.read
        if signal.position < 2:
            raise OpaqueError("it is called at each channel")
        port = Port(AXIS, np.arange(signal.size), signal.position - 1)
        return Channels({AXIS: signal.size}, (signal.to(AXIS),), (port,))


@rule("keras_invprune>EachStep")
class Each(Rule):
    """The rule of the exit. Of the sequence, it takes only the number of steps."""

    def channels(self, call: Call) -> Channels:
        """Return the axis of what the layer makes, and one of the sequence."""
        signal, sequence = call.reads
        port = Port(AXIS, np.arange(signal.size), signal.position + 1)
        return Channels(
            {AXIS: signal.size, SEQUENCE: sequence.size},
            (signal.to(AXIS), sequence.to(SEQUENCE)),
            (port,),
        )

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the channels that vary."""
        return [np.isnan(constants[0])]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the channels that others need, and none of the sequence."""
        return [needed[0], np.zeros(channels.sizes[SEQUENCE], bool)]
