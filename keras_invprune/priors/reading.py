"""Reads the graph of a network back from its weights."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_invprune.contracts import Ranked
from keras_invprune.graph.connections import Connections, check_lives
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.priors._libraries import networkx

if TYPE_CHECKING:
    import networkx as nx


def graph_of(model: keras.Model) -> "nx.DiGraph":
    """Return the graph of a network that was made from one.

    An edge is there if one of its weights is not zero. So after pruning, the graph
    shows what is left. Its nodes are those that still have a unit: `kip.compact`
    removes the ones that do nothing.

    Args:
        model: A model made by `feed_forward` or `recurrent`; it may be pruned, stripped
            or compacted, saved and loaded, or part of a larger model. Of several such
            networks in one model, pass each separately: their nodes have equal numbers.

    Example:
        >>> from keras_invprune import priors
        >>> graph = priors.make("watts-strogatz", n=12)
        >>> model = priors.feed_forward(graph, inputs=4, outputs=2)
        >>> sorted(graph_of(model).edges) == sorted(priors.oriented(graph).edges)
        True

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If no weight of the model knows its nodes, or if weights are not
            zero where the graph has no connection.
    """
    return _graph(_kernels(model))


def wiring_of(model: keras.Model) -> "nx.DiGraph":
    """Return the graph of `graph_of` before anything was pruned.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If `graph_of` refuses the model.
    """
    return _graph((connections, connections.mask) for connections, _ in _kernels(model))


def _kernels(model) -> Iterator[tuple[Connections, np.ndarray]]:
    """Yield the connections of each kernel that has some, and where it is not zero."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "The graph is read from a Keras model. Received: "
            f"{type(model).__name__}. For a networkx graph, `kip.priors.oriented` "
            "returns the graph of its network."
        )
    masks = {}
    if isinstance(model, Ranked):
        context = model.score_context()
        masks = {id(context.variables[key]): m for key, m in context.masks.items()}
    for _, variable in weights_by_key(model).values():
        if isinstance(variable.constraint, Connections):
            lives = keras.ops.convert_to_numpy(variable) != 0
            if id(variable) in masks:
                lives &= keras.ops.convert_to_numpy(masks[id(variable)]) != 0
            check_lives(variable.path, variable.constraint, lives)
            yield variable.constraint, lives


def _graph(parts: Iterable[tuple[Connections, np.ndarray]]) -> "nx.DiGraph":
    nodes: set[int] = set()
    edges: set[tuple[int, int]] = set()
    for connections, mask in parts:
        nodes.update(connections.sources.tolist(), connections.targets.tolist())
        rows, columns = np.nonzero(mask)
        sources, targets = connections.sources[rows], connections.targets[columns]
        edges.update(zip(sources.tolist(), targets.tolist(), strict=True))
    if not nodes:
        raise ValueError(
            "The graph is read from kernels whose inputs and outputs have the numbers "
            "of nodes. This model has no such kernel. Make it with "
            "`kip.priors.feed_forward` or `kip.priors.recurrent`."
        )
    made = networkx().DiGraph()
    made.add_nodes_from(sorted(nodes))
    made.add_edges_from(sorted(edges))
    return made
