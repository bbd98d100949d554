"""A graph as a feed-forward network."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import keras
import numpy as np

from keras_invprune.arguments import check_seed, is_positive_integer, plain
from keras_invprune.graph.connections import Connections, OnConnections
from keras_invprune.priors.layers import Layered, layered
from keras_invprune.saving import did_you_mean, near_names

if TYPE_CHECKING:
    import networkx as nx

RECTIFIERS = ("relu", "leaky_relu", "elu", "gelu", "silu", "swish", "selu")
SKIPS = ("before", "after")
READOUTS = ("last", "all")


def feed_forward(
    graph: "nx.Graph",
    inputs: int | tuple[int, ...],
    outputs: int,
    *,
    activation: str = "relu",
    skip: Literal["before", "after"] = "before",
    normalize: bool = False,
    readout: Literal["last", "all"] = "last",
    seed: int = 0,
    name: str | None = None,
) -> keras.Model:
    """Return a network whose hidden units are the nodes of a graph.

    A unit of layer 0 reads all inputs, and any other unit the nodes from which an edge
    leads to it, also across layers. All layers are ordinary Dense layers. What is
    absent from a kernel is zero and stays so, by a constraint of the kernel.

    Keras makes the averages of an optimizer with ``use_ema=True`` before it applies
    constraints, so they are not zero there. `prune`, `compact`, `merge_layers`,
    `export` and `graph_of` refuse such a network until its constraints are applied,
    which gives the averages of the network as it was trained. A pruned model applies
    them itself.

    Args:
        graph: A connected graph of networkx without self loops and, if directed,
            without cycles. Undirected edges point from the lower to the higher node.
        inputs: Number of inputs, or their shape.
        outputs: Number of outputs, which are linear.
        activation: Name of the hidden units' activation; "linear" for none.
        skip: Whether a layer adds up what it reads "before" its activation, or "after"
            one activation for each layer that it reads. "before" is the equation of the
            paper: z^l = Σ_s W^{s→l} a^s + b^l. It needs one kernel for each layer, and
            each node is one unit. "after" is the authors' code. A unit then has several
            parts, each with a bias.
        normalize: Whether LayerNormalization precedes each activation.
        readout: Which nodes the outputs read: those of the "last" layer, as in the
            authors' code, or "all". The last layer of a random graph often has one or
            two nodes, too few for many classes. Nodes from which no edges lead there
            then do nothing, and `kip.compact` removes them.
        seed: Seed of the weights. Each unit's are uniform with the variance of He et
            al. for rectifiers, of LeCun et al. otherwise, over the inputs it has.
        name: Name of the model.

    Example:
        >>> from keras_invprune import priors
        >>> graph = priors.make("barabasi-albert", n=20)
        >>> feed_forward(graph, inputs=64, outputs=10).output_shape
        (None, 10)

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If the graph has no edges, self loops or cycles, is not connected or
            too large, or if another argument is not allowed.

    Source:
        Stier et al. 2021 (2107.12917), section 2; Stier and Granitzer 2019
        (1910.07225).
    """
    check_skip(skip)
    if readout not in READOUTS:
        raise ValueError(
            "`readout` must be 'last' or 'all', the nodes that the outputs read. "
            f"Received: readout={readout!r}."
        )
    shape = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    for size in shape:
        check_sizes(inputs=size, outputs=outputs)
    check_activation(activation)
    layers = layered(graph)
    seeds = Seeds(seed)
    entry = keras.Input(plain(shape))
    flat = entry if len(shape) == 1 else keras.layers.Flatten()(entry)
    unit = _Unit(activation, normalize, seeds)
    states = [unit(flat, "layer_0", units=len(layers.nodes[0]))]
    for number in range(1, len(layers.nodes)):
        states.append(next_layer(layers, number, states, skip, unit))
    last = keras.layers.Dense(
        int(outputs),
        kernel_initializer=keras.initializers.LecunUniform(seeds()),
        name="outputs",
    )
    sources = range(len(states)) if readout == "all" else [len(states) - 1]
    read = read_by(states, sources, "outputs")
    return keras.Model(entry, last(read), name=name or "feed_forward")


class Seeds:
    """One seed after the other, all from one."""

    def __init__(self, seed: int):
        check_seed(seed)
        self._generator = np.random.default_rng(seed)

    def __call__(self) -> int:
        """Return the next seed."""
        return int(self._generator.integers(2**31))


class _Unit:
    """Dense layers with their normalization and activation."""

    def __init__(self, activation: str, normalize: bool, seeds: Seeds):
        self.activation, self.normalize, self.seeds = activation, normalize, seeds
        self.scale = 2.0 if activation in RECTIFIERS else 1.0

    def __call__(
        self,
        x: keras.KerasTensor,
        name: str,
        units: int,
        connections: Connections | None = None,
    ) -> keras.KerasTensor:
        """Return the outputs of a layer; of all connections if none are given."""
        if connections is None:
            initializer = keras.initializers.VarianceScaling(
                self.scale, "fan_in", "uniform", seed=self.seeds()
            )
        else:
            initializer = OnConnections(connections, self.scale, self.seeds())
        x = keras.layers.Dense(
            units,
            None if self.normalize else self.activation,
            kernel_initializer=initializer,
            kernel_constraint=connections,
            name=name,
        )(x)
        if not self.normalize:
            return x
        x = keras.layers.LayerNormalization(name=f"{name}_normalized")(x)
        return keras.layers.Activation(self.activation, name=f"{name}_active")(x)


def next_layer(
    layers: Layered, number: int, states: list, skip: str, make: Callable
) -> keras.KerasTensor:
    """Return the outputs of a layer behind layer 0.

    Args:
        layers: The layers of the graph.
        number: The number of this one.
        states: The outputs of those before it.
        skip: "before": one layer reads the concatenation of all that are read; "after":
            the sum of one layer for each of them.
        make: ``(what is read, name, units, connections) -> outputs``.
    """
    sources, units = layers.sources(number), len(layers.nodes[number])
    name, parts = f"layer_{number}", []
    if skip == "before":
        read = read_by(states, sources, name)
        return make(read, name, units, connections_to(layers, number, sources))
    for s in reversed(sources):  # the layer before this one is first
        own = name if s == number - 1 else f"{name}_skip_{s}"
        connections = connections_to(layers, number, [s])
        parts.append(make(states[s], own, units, connections))
    return keras.layers.Add(name=f"{name}_sum")(parts) if parts[1:] else parts[0]


def read_by(
    states: list[keras.KerasTensor], sources: Sequence[int], name: str
) -> keras.KerasTensor:
    """Return the states of the layers that a layer reads, next to each other."""
    read = [states[s] for s in sources]
    if len(read) == 1:
        return read[0]
    return keras.layers.Concatenate(name=f"{name}_reads")(read)


def connections_to(layers: Layered, number: int, sources: list[int]) -> Connections:
    """Return the connections of a layer with some of those that it reads."""
    return Connections(
        np.concatenate([layers.masks[s, number] for s in sources]),
        np.concatenate([layers.nodes[s] for s in sources]),
        layers.nodes[number],
    )


def check_skip(skip: str) -> None:
    """Raise ValueError unless it is one of the places of the sum."""
    if skip not in SKIPS:
        raise ValueError(
            "`skip` must be 'before' or 'after', the place of the sum relative to the "
            f"activation. Received: skip={skip!r}."
        )


def check_sizes(**sizes: int) -> None:
    """Raise ValueError unless each is a positive integer."""
    for name, size in sizes.items():
        if not is_positive_integer(size):
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={size!r}."
            )


def check_activation(activation: str) -> None:
    """Raise ValueError unless Keras knows an activation of this name."""
    if isinstance(activation, str):
        try:
            keras.activations.get(activation)
            return
        except ValueError:
            pass
    known = [name for name in dir(keras.activations) if name.islower()]
    near = ["linear"] if activation is None else near_names(activation, known)
    raise ValueError(
        "`activation` must be the name of an activation of Keras. Received: "
        f"activation={activation!r}.{did_you_mean(near)}"
    )
