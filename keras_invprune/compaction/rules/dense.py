"""Dense layers: each unit sums over inputs."""

from keras_invprune.compaction.channels import Channels
from keras_invprune.compaction.mixing import IN, OUT, Mixing, sides
from keras_invprune.compaction.rule import Call, rule


@rule("Dense")
class Dense(Mixing):
    """The rule of Dense layers, on vectors or on the last axis of anything."""

    def channels(self, call: Call) -> Channels:
        """Return the inputs and the units."""
        weights = {"kernel": (IN, OUT), "bias": (OUT,)}
        return Channels(**sides(call, len(call.read.shape) - 1), weights=weights)
