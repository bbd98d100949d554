"""Networks from graphs: the structure is drawn first, and then trained.

A prior is a distribution of graphs. `make` draws a graph, `feed_forward`, `recurrent`
and `convolutional` make it a network, `graph_of` reads the graph back, `features`
describes it in numbers, and `draw` shows it.
"""

from keras_invprune.priors.convolutional import convolutional
from keras_invprune.priors.drawing import GraphBoard, draw
from keras_invprune.priors.families import PRIORS, make
from keras_invprune.priors.features import (
    FEATURES,
    clustering,
    features,
    path_length,
)
from keras_invprune.priors.forward import feed_forward
from keras_invprune.priors.layers import Layered, layered, oriented
from keras_invprune.priors.reading import graph_of
from keras_invprune.priors.recurrent import Tokens, recurrent
from keras_invprune.priors.weighted_sum import WeightedSum

__doc__ += f"\nPriors by name: {', '.join(sorted(PRIORS))}.\n"

__all__ = [
    "FEATURES",
    "GraphBoard",
    "Layered",
    "Tokens",
    "WeightedSum",
    "clustering",
    "convolutional",
    "draw",
    "feed_forward",
    "features",
    "graph_of",
    "layered",
    "make",
    "oriented",
    "path_length",
    "recurrent",
]
