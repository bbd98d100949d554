"""Masks of a graph: channels read each other if their nodes are neighbors."""

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.graph.layouts import layout_of
from keras_invprune.graph.prunable import Select, prunable_weights
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.masks.selection import (
    Masks,
    Scores,
    check_scores,
    keep_count,
    keep_largest,
)
from keras_invprune.saving import Configured

if TYPE_CHECKING:
    import networkx as nx

RING = 8  # nodes of the graph if none is given
MAX_NODES = 4_096  # on each side, since a configuration lists all pairs


@keras.saving.register_keras_serializable(package="keras_invprune")
class Relational(Configured, contracts.Allocation):
    """Prune first the weights between nodes that are not neighbors in a graph.

    The inputs and the outputs of each kernel are divided among the nodes, as equally
    as possible. Weights between the channels of neighbors, and of a node with itself,
    are the last to be pruned. At the sparsity that `sparsity` returns, exactly these
    are left in each kernel, whatever the scores. Below it, the best of the others are
    kept as well, and above it only the best of these.

    It is an allocation rather than a score, so that any score can decide the rest, and
    so that rewinding and schedules need not know of it.

    Args:
        graph: A graph of networkx, whose nodes count in their order. Or an array of 0
            and 1 that is 1 where a node of the inputs (row) is read by one of the
            outputs (column); nothing is added to its diagonal. An array need not be
            square: a bipartite cut has other nodes on each side. A list of edges is not
            an array of this kind. None: a ring of 8 nodes. In a graph without edges,
            each node reads only itself.

    Attributes:
        graph: Boolean array, true where a node (row) is read by a node (column).

    Example:
        >>> relational = Relational(np.eye(2))
        >>> masks = relational({"kernel": np.ones((4, 2))}, sparsity=0.5)
        >>> masks["kernel"].astype(int)
        array([[1, 0],
               [1, 0],
               [0, 1],
               [0, 1]])

    Raises:
        TypeError: If `graph` is neither a graph of networkx nor an array.
        ValueError: If an array is not a matrix of 0 and 1, or is all 0, or if there are
            too many nodes.

    Source:
        You et al. 2020, Graph structure of neural networks (2007.06559), section 2.
        Inputs and outputs are the last two axes of a kernel. `prune` refuses kernels in
        which they are not: those of EinsumDense, of gates, of grouped and of depthwise
        convolutions, and of transposed ones unless each node reads those that read it.
    """

    def __init__(self, graph: "nx.Graph | np.ndarray | list | None" = None) -> None:
        self.graph = _adjacency(_ring(RING) if graph is None else graph)

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Return the boolean masks by key."""
        check_scores(scores)
        inside = {key: self.mask(np.shape(values)) for key, values in scores.items()}
        count = keep_count(sum(v.size for v in scores.values()), sparsity, np.float64)
        more = count - sum(int(mask.sum()) for mask in inside.values())
        # What cannot be chosen ranks below all that can.
        open_ = inside if more <= 0 else {key: ~mask for key, mask in inside.items()}
        ranked = {
            k: np.where(open_[k], values, -np.inf) for k, values in scores.items()
        }
        if more <= 0:
            return keep_largest(ranked, count)
        found = keep_largest(ranked, more)
        return {key: mask | inside[key] for key, mask in found.items()}

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the mask of a kernel: boolean, of its shape.

        Args:
            shape: (..., inputs, outputs). Of fewer axes, or of a single input or
                output, all is kept: so it is for the groups of `Units`.
        """
        if len(shape) < 2 or 1 in shape[-2:]:
            return np.ones(shape, bool)
        sides = [
            _nodes(channels, nodes)
            for channels, nodes in zip(shape[-2:], self.graph.shape, strict=True)
        ]
        return np.broadcast_to(self.graph[np.ix_(*sides)], shape)

    def sparsity(
        self,
        model: keras.Model,
        select: Select | Iterable[str] | str | None = None,
    ) -> float:
        """Return the share of a model's prunable weights that are not in the graph.

        Args:
            model: A built Keras model.
            select: As in `prune`.

        Example:
            >>> dense = [keras.layers.Dense(units) for units in (8, 2)]
            >>> model = keras.Sequential([keras.Input((8,)), *dense])
            >>> Relational().sparsity(model)  # each node has 2 neighbors and itself
            0.625

        Raises:
            ValueError: If nothing is selected, or as in `check_weights`.
        """
        weights = weights_by_key(model)
        chosen = prunable_weights(model, select, weights)
        self.check_weights({key: weights[key] for key in chosen})
        shapes = [tuple(variable.shape) for variable in chosen.values()]
        kept = sum(int(self.mask(shape).sum()) for shape in shapes)
        return 1 - kept / sum(int(np.prod(shape)) for shape in shapes)

    def check_weights(self, weights: Mapping[str, contracts.Located]) -> None:
        """Raise ValueError for kernels whose last axes are not inputs and outputs."""
        wrong = [key for key, weight in weights.items() if not self._reads(*weight)]
        if wrong:
            raise ValueError(
                "A relational graph divides the last two axes of a kernel among its "
                "nodes, as inputs and outputs, and in some kernels they are something "
                f"else, such as gates or heads. Received: {wrong}. `select` others."
            )

    def _reads(self, layer: keras.Layer, variable: keras.Variable) -> bool:
        """Return whether `mask` takes inputs for inputs and outputs for outputs."""
        *_, inputs, outputs = range(len(variable.shape))
        if 1 in variable.shape[-2:]:
            return True  # all is kept
        if _has_gates(layer) or getattr(layer, "groups", 1) > 1:
            return False
        layout = layout_of(layer, variable)
        if layout is None:
            return False
        axes = layout.inputs, layout.outputs
        if axes == ((outputs,), (inputs,)):  # transposed
            return np.array_equal(self.graph, self.graph.T)
        return axes == ((inputs,), (outputs,))

    def even(self, sparsity: float) -> bool:
        """Return False, since it decides which weights of a kernel remain."""
        del sparsity
        return False

    def get_config(self) -> dict[str, Any]:
        """Return the graph as lists of 0 and 1."""
        return {"graph": self.graph.astype(int).tolist()}


def _has_gates(layer: keras.Layer) -> bool:
    """Return whether the kernels of a recurrent cell hold several gates."""
    recurrent = getattr(layer, "recurrent_kernel", None)
    return recurrent is not None and recurrent.shape[-2] != recurrent.shape[-1]


def _ring(nodes: int) -> np.ndarray:
    distance = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes)))
    return (distance <= 1) | (distance == nodes - 1)


def _adjacency(graph: Any) -> np.ndarray:
    """Return which node is read by which.

    Raises:
        TypeError: If it is neither a graph nor an array.
        ValueError: If an array is not a matrix of 0 and 1, or is all 0, or if there are
            too many nodes.
    """
    if _is_graph(graph):
        _check_size(graph.number_of_nodes())
        found = _with_themselves(graph)
    elif isinstance(graph, np.ndarray | list | tuple):
        found = _matrix(graph)
    else:
        raise TypeError(
            "`graph` must be a networkx.Graph or an array. Received: "
            f"{type(graph).__name__}. `kip.priors.make(name, ...)` makes a graph."
        )
    if found.ndim != 2 or not found.any():
        raise ValueError(
            "`graph` must be a networkx.Graph or a matrix with an entry that is not "
            f"zero. Received: {type(graph).__name__} of shape {found.shape} with "
            f"{int(found.sum())} such entries."
        )
    _check_size(max(found.shape))
    return found


def _check_size(nodes: int) -> None:
    if nodes > MAX_NODES:
        raise ValueError(
            f"A relational graph can have at most {MAX_NODES:,} nodes, since all pairs "
            f"are stored. Received: {nodes:,} nodes. Use a smaller graph: nodes share "
            "the channels of a kernel, so more nodes than channels have no effect."
        )


def _matrix(array: np.ndarray | list | tuple) -> np.ndarray:
    """Return an array of 0 and 1 as a boolean one.

    Raises:
        ValueError: If rows differ in length, or if there are other values, as there are
            in a list of edges: it names its nodes.
    """
    try:
        found = np.array(array)
        other = found[~np.isin(found, (0, 1))].tolist()
        received = f"an array of shape {found.shape} with {other[:1]} in it"
    except ValueError:
        other, received = [array], "rows of several lengths"
    if other:
        raise ValueError(
            "`graph` as an array must be an adjacency matrix of 0 and 1: a 1 says that "
            f"the node of the column reads that of the row. Received: {received}. For "
            "edges, pass `networkx.Graph(edges)`; for weights, `matrix != 0`."
        )
    return found.astype(bool)


def _is_graph(thing: Any) -> "TypeGuard[nx.Graph]":
    """Return whether it is a graph of networkx, which then is imported already."""
    networkx = sys.modules.get("networkx")
    return networkx is not None and isinstance(thing, networkx.Graph)


def _with_themselves(graph: "nx.Graph") -> np.ndarray:
    """Return which node is read by which, each of them also by itself."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    found = np.eye(len(places), dtype=bool)
    for u, v in graph.edges():  # of a multigraph, which has keys otherwise, too
        found[places[u], places[v]] = True
        if not graph.is_directed():
            found[places[v], places[u]] = True
    return found


def _nodes(channels: int, nodes: int) -> np.ndarray:
    """Return the node of each channel; the first nodes have one more if need be."""
    share, rest = divmod(channels, nodes)
    return np.repeat(np.arange(nodes), share + (np.arange(nodes) < rest))
