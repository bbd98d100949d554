"""A graph as a recurrent network."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal

import keras
import numpy as np

from keras_invprune.graph.connections import Connections, OnConnections
from keras_invprune.priors.forward import (
    Seeds,
    check_activation,
    check_sizes,
    check_skip,
    next_layer,
)
from keras_invprune.priors.layers import Layered, check_weights, layered
from keras_invprune.saving import named

if TYPE_CHECKING:
    import networkx as nx

CELLS = {
    "simple": (keras.layers.SimpleRNN, 1),
    "gru": (keras.layers.GRU, 3),
    "lstm": (keras.layers.LSTM, 4),
}
"""``{name of a cell: (layer, number of gates)}``."""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Sequences of tokens, the numbers 0, 1, ..., which an Embedding turns to vectors.

    Attributes:
        vocabulary: Number of tokens.
        size: Length of a token's vector. None: the number of nodes in layer 0, as in
            the authors' code.
        masked: Whether token 0 is padding that the network skips. Otherwise it reads
            padding like any token, as the authors' does.
    """

    vocabulary: int
    size: int | None = None
    masked: bool = False


def recurrent(
    graph: "nx.Graph",
    inputs: int | Tokens,
    outputs: int,
    *,
    cell: Literal["simple", "gru", "lstm"] = "simple",
    activation: str = "tanh",
    skip: Literal["before", "after"] = "after",
    seed: int = 0,
    name: str | None = None,
) -> keras.Model:
    """Return a recurrent network whose hidden units are the nodes of a graph.

    Each layer of the graph is a recurrent layer. A unit of layer 0 reads all inputs,
    and any other unit the nodes from which an edge leads to it, in each of its gates.
    All units of a layer read each other's last states. The outputs read the last
    layer's last step.

    Args:
        graph: A connected graph of networkx without self loops and, if directed,
            without cycles. Undirected edges point from the lower to the higher node.
        inputs: Number of features of each step, or `Tokens`. Sequences may have any
            length.
        outputs: Number of outputs, which are linear.
        cell: "simple", "gru" or "lstm".
        activation: Name of the activation of new values, "linear" for none; gates keep
            their sigmoid.
        skip: Where a layer adds up what it reads: "after", in the sequences of one
            recurrent layer for each layer that it reads, each with states of its own,
            as in the authors' code; or "before", in one recurrent layer that reads all
            of them. This needs fewer layers, and each node has one state.
        seed: Seed of the weights. Each unit's are uniform with the variance of LeCun et
            al. over the inputs it has; those between states are orthogonal.
        name: Name of the model.

    Example:
        >>> from keras_invprune import priors
        >>> graph = priors.make("watts-strogatz", n=10)
        >>> model = recurrent(graph, Tokens(128), outputs=2, cell="gru")
        >>> model.input_shape, model.output_shape
        ((None, None), (None, 2))

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If the graph has no edges, self loops or cycles, is not connected or
            too large, or if another argument is not allowed, with similar names.

    Source:
        Stier et al. 2021 (2107.12917), section 4. The authors' code repeats each row of
        a mask for the gates of a GRU or LSTM, so that their gates mix up the nodes.
        Here, each gate has the whole mask.
    """
    layer, gates = named(cell, CELLS, "cell")
    check_skip(skip)
    check_activation(activation)
    check_sizes(outputs=outputs)
    layers = layered(graph)
    _check_weights(layers, gates, skip)
    entry, states = _entry(inputs, len(layers.nodes[0]))
    make = _Recurrent(layer, gates, activation, len(layers.nodes), Seeds(seed))
    states = [make(0, states, "layer_0", len(layers.nodes[0]))]
    for number in range(1, len(layers.nodes)):
        of_this = functools.partial(make, number)
        states.append(next_layer(layers, number, states, skip, of_this))
    last = keras.layers.Dense(
        int(outputs),
        kernel_initializer=keras.initializers.LecunUniform(make.seeds()),
        name="outputs",
    )
    return keras.Model(entry, last(states[-1]), name=name or f"recurrent_{cell}")


def _entry(
    inputs: int | Tokens, size: int
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input, and what layer 0 reads."""
    if not isinstance(inputs, Tokens):
        check_sizes(inputs=inputs)
        entry = keras.Input((None, int(inputs)))
        return entry, entry
    size = size if inputs.size is None else inputs.size
    check_sizes(vocabulary=inputs.vocabulary, size=size)
    entry = keras.Input((None,), dtype="int32")
    embed = keras.layers.Embedding(
        int(inputs.vocabulary), int(size), mask_zero=inputs.masked, name="embedding"
    )
    return entry, embed(entry)


class _Recurrent:
    """Recurrent layers of one kind; those of the last layer return their last step."""

    def __init__(
        self,
        layer: type[keras.Layer],
        gates: int,
        activation: str,
        depth: int,
        seeds: Seeds,
    ):
        self.layer, self.gates, self.activation = layer, gates, activation
        self.depth, self.seeds = depth, seeds

    def __call__(
        self,
        number: int,
        x: keras.KerasTensor,
        name: str,
        units: int,
        connections: Connections | None = None,
    ) -> keras.KerasTensor:
        """Return the sequences of a layer; of all connections if none are given."""
        if connections is None:
            initializer = keras.initializers.LecunUniform(self.seeds())
        else:
            # Keras stores the gates next to each other, each with all units.
            connections = Connections(
                np.tile(connections.mask, self.gates),
                connections.sources,
                np.tile(connections.targets, self.gates),
            )
            initializer = OnConnections(connections, seed=self.seeds())
        layer = self.layer(
            units,
            activation=self.activation,
            return_sequences=number < self.depth - 1,
            kernel_initializer=initializer,
            recurrent_initializer=keras.initializers.Orthogonal(seed=self.seeds()),
            kernel_constraint=connections,
            name=name,
        )
        return layer(x)


def _check_weights(layers: Layered, gates: int, skip: str) -> None:
    """Raise ValueError if there are too many weights from nodes to nodes."""
    sizes = [len(nodes) for nodes in layers.nodes]
    inputs = sum(sizes[s] * sizes[t] for s, t in layers.masks)
    readers = range(len(sizes)) if skip == "before" else [t for _, t in layers.masks]
    check_weights(gates * (inputs + sum(sizes[t] ** 2 for t in readers)), sum(sizes))
