"""Layer folding: drives the slope of each activation to 1, then merges layers."""

from dataclasses import dataclass
from typing import Annotated

import keras
import numpy as np

from keras_invprune.graph.weights import walk
from keras_invprune.proximal import SlopesToOne
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.build import make_network
from keras_invprune_lab.methods.layer_sparse import LayerSparse
from keras_invprune_lab.methods.settings import Part, Positive, Several, Short


class FoldingKeys(Part):
    """What a recipe may say of "folding".

    Attributes:
        slope_strength: r of `SlopesToOne` in each activation; of several the best on
            validation rows.
    """

    slope_strength: Several[Annotated[Positive, Short]] = [0.03]


@dataclass(frozen=True)
class LayerFolding(LayerSparse):
    """The same with one slope for each activation, which is at first a ReLU's.

    It works through BatchNormalization, where the signs of weights say nothing.
    """

    settings = FoldingKeys

    def network(self, work) -> keras.Model:
        """Return the network with a PReLU in place of each ReLU."""
        return keras.models.clone_model(
            make_network(work.job, work.data),
            clone_function=_with_slope,
            recursive=True,
        )

    def penalty(self, model, strength) -> SlopesToOne:
        """Return the penalty of the slopes.

        Raises:
            ValueError: If the network has no ReLU layers.
        """
        if not _slopes(model):
            raise ValueError(
                "Folding needs a network with layers of its own for ReLU, such as "
                f"'vgg-16' or 'cnn'. Received: {model.name!r}, which has none."
            )
        return SlopesToOne({layer.name: strength for layer in _slopes(model)})

    def active(self, model) -> int:
        """Return the number of activations whose slope is not 1."""
        return sum(bool(np.any(layer.alpha != 1)) for layer in _slopes(model))


def _with_slope(layer):
    if not isinstance(layer, keras.layers.ReLU):
        return type(layer).from_config(layer.get_config())
    every = [*range(1, len(layer.output.shape))]
    return keras.layers.PReLU(shared_axes=every, name=layer.name)


def _slopes(model):
    kind = keras.layers.PReLU
    return [layer for _, layer in walk(model) if isinstance(layer, kind)]


METHODS |= {"folding": LayerFolding("layer folding", key="slope_strength")}
