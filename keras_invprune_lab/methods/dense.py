"""The dense network, for comparison."""

from dataclasses import dataclass

from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.network import Network
from keras_invprune_lab.methods.one_fit import ONE_FIT


@dataclass(frozen=True)
class Dense(Network):
    """Trains the network as it is."""

    pruned = False


METHODS["dense"] = Dense("dense")
ONE_FIT["dense"] = lambda model, run: model
