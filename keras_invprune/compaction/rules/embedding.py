"""Tables of embeddings."""

from collections.abc import Collection
from typing import Any

import numpy as np

from keras_invprune.compaction.channels import Channels, Port
from keras_invprune.compaction.mixing import OUT, array
from keras_invprune.compaction.rule import Bools, Call, Constants, Rule, Sides, rule


@rule("Embedding")
class Embedding(Rule):
    """The rule of tables. A column of one value is constant."""

    def channels(self, call: Call) -> Channels:
        """Return the columns; rows are kept."""
        shape = call.shapes[0]
        port = Port(OUT, np.arange(shape[-1]), len(shape) - 1)
        weights = {"embeddings": (None, OUT)}
        return Channels({OUT: shape[-1]}, (None,), (port,), weights)

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the columns of several values."""
        table = array(call.operation.embeddings)
        return [(table != table[:1]).any(0)]

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return that all indices are needed."""
        return [np.ones(signal.size, bool) for signal in call.reads]

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the number of columns."""
        return {"output_dim": int(kept[OUT].sum())}
