"""The dense network, for comparison."""

from dataclasses import dataclass

from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.network import Network


@dataclass(frozen=True)
class Dense(Network):
    """Trains the network as it is."""

    pruned = False


METHODS["dense"] = Dense("dense", in_one_fit=lambda model, run: model)
