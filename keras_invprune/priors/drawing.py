"""Pictures of graphs and of the networks made from them, also in TensorBoard."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.priors._libraries import networkx, new_figure
from keras_invprune.priors.layers import generations, oriented
from keras_invprune.priors.reading import graph_of, wiring_of

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.figure import Figure

KEPT, PRUNED, NODE, DEAD = "tab:blue", "0.85", "black", "0.7"
POINTS = 16  # of a curve


def draw(shown: "nx.Graph | keras.Model") -> "Figure":
    """Draw a graph layer by layer, from left to right.

    Of a model, it shows all connections, those that were pruned in gray. Nodes that
    have lost all connections are gray as well.

    Args:
        shown: A graph as in `oriented`, or a model as in `graph_of`.

    Returns:
        A figure of matplotlib: ``draw(graph).savefig("graph.png")``.

    Example:
        >>> from keras_invprune import priors
        >>> figure = draw(priors.make("tree", n=7, r=2))
        >>> figure.savefig("tree.png")

    Raises:
        ImportError: If matplotlib is missing; names the extra.
        TypeError: If `shown` is neither a graph of networkx nor a model of Keras.
        ValueError: If the graph cannot be oriented, or if the model knows no nodes.
    """
    if isinstance(shown, keras.Model):
        graph, left = wiring_of(shown), graph_of(shown)
    elif isinstance(shown, networkx().Graph):
        graph = left = oriented(shown)
    else:
        raise TypeError(
            "`draw` takes a networkx.Graph, or a Keras model made by `feed_forward` or "
            f"`recurrent`. Received: {type(shown).__name__}."
        )
    return _drawn(graph, left)


def _drawn(graph: "nx.DiGraph", left: "nx.Graph") -> "Figure":
    layers = generations(graph)
    places = {
        int(node): (x, index - (len(nodes) - 1) / 2)
        for x, nodes in enumerate(layers)
        for index, node in enumerate(nodes)
    }
    height = max(map(len, layers))
    size = np.clip([0.7 * len(layers), 0.3 * height], (4, 3), (16, 12))
    axes = (figure := new_figure(tuple(size))).subplots()
    from matplotlib.collections import LineCollection  # new_figure has found it

    fine = len(graph) > 300
    gone = [edge for edge in graph.edges if not left.has_edge(*edge)]
    for edges, color, order in ((gone, PRUNED, 0), (list(left.edges), KEPT, 1)):
        lines = _curves(edges, places, height)
        width, opacity = (0.3, 0.3) if fine else (0.8, 0.8)
        axes.add_collection(
            LineCollection(
                list(lines), colors=color, lw=width, alpha=opacity, zorder=order
            )
        )
    nodes = np.array([places[node] for node in graph])
    alive = [node in left and left.degree(node) > 0 for node in graph]
    colors = np.where(alive, NODE, DEAD)
    x, y = nodes.T
    axes.scatter(x, y, s=2 if fine else 18, c=colors, zorder=2)
    axes.set(xlabel="layer", yticks=[])
    axes.locator_params(axis="x", integer=True)
    axes.spines[["left", "right", "top"]].set_visible(False)
    return figure


def _curves(
    edges: Sequence[tuple[int, int]],
    places: Mapping[int, tuple[float, float]],
    height: int,
) -> np.ndarray:
    """Return the edges as [edges, points, 2]; bent, so that skips miss the nodes."""
    if not edges:
        return np.zeros((0, 2, 2))
    ends = np.array([[places[u], places[v]] for u, v in edges], float)
    spans = ends[:, 1, 0] - ends[:, 0, 0]
    bend = np.where(spans > 1, 0.08 * height * np.sqrt(spans), 0)
    t = np.linspace(0, 1, POINTS)[:, None]
    lines = ends[:, None, 0] * (1 - t) + ends[:, None, 1] * t
    lines[..., 1] += bend[:, None] * (4 * t * (1 - t))[:, 0]
    return lines


class GraphBoard(keras.callbacks.Callback):
    """Shows the graph of a network in TensorBoard.

    It draws the graph when training begins and after each epoch that has changed it,
    and counts its edges. Events are written to ``log_dir/graph``.

    Args:
        log_dir: Folder of the events.

    Example:
        >>> boards = [keras.callbacks.TensorBoard("logs"), GraphBoard("logs")]

    Raises:
        ImportError: If matplotlib is missing; names the extra.
    """

    def __init__(self, log_dir: str | Path):
        super().__init__()
        new_figure((1, 1))  # or training would begin, and then stop
        self.log_dir = os.fspath(log_dir)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Draw the graph.

        Raises:
            ValueError: If the model was not made from a graph.
        """
        self._shown: set = set()
        left = graph_of(self.model)
        folder = os.path.join(self.log_dir, "graph")
        self._writer = tf.summary.create_file_writer(folder)
        self._show(left, 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Count the edges; draw them if they have changed."""
        self._show(graph_of(self.model), epoch + 1)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the file."""
        self._writer.close()

    def _show(self, left: "nx.Graph", step: int) -> None:
        edges = set(left.edges)
        with self._writer.as_default(step=step):
            tf.summary.scalar("edges", len(edges))
            if edges != self._shown:
                image = _pixels(_drawn(wiring_of(self.model), left))
                tf.summary.image("graph", image[None])
        self._shown = edges


def _pixels(figure: "Figure") -> np.ndarray:
    """Return a figure as uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
