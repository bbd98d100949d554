"""A graph as a convolutional network for images."""

from typing import TYPE_CHECKING, Literal

import keras

from keras_invprune.arguments import is_positive_integer, plain
from keras_invprune.priors._libraries import networkx
from keras_invprune.priors.forward import Seeds, check_sizes
from keras_invprune.priors.layers import oriented
from keras_invprune.priors.weighted_sum import WeightedSum

if TYPE_CHECKING:
    import networkx as nx

CONVOLUTIONS = ("separable", "full")
MAX_NODES = 1_000
"""The largest number of convolutions of a network."""
MOMENTUM = 0.9
"""Of the statistics of BatchNormalization; Keras's 0.99 needs longer trainings."""


def convolutional(
    graph: "nx.Graph",
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    channels: int = 16,
    stages: int = 1,
    shrink: int = 2,
    convolution: Literal["separable", "full"] = "separable",
    seed: int = 0,
    name: str | None = None,
) -> keras.Model:
    """Return a network whose convolutions are the nodes of a graph.

    A node adds up the nodes from which an edge leads to it, with learned positive
    weights (`WeightedSum`). ReLU, a 3x3 convolution and BatchNormalization follow. The
    nodes that read no other node read the stem, a 3x3 convolution. The average of the
    nodes that no other node reads is the output of a stage. After the last stage, the
    mean over all pixels leads to the outputs.

    Args:
        graph: A connected graph of networkx without self loops and, if directed,
            without cycles. Undirected edges point from the lower to the higher node.
        input_shape: (height, width, channels) of an image. Height and width may be
            None.
        outputs: Number of outputs, which are linear.
        channels: Channels of each node of the first stage; the next stages have twice
            as many as the one before.
        stages: How often the graph follows itself, each time with other weights. The
            first nodes of a later stage have stride 2.
        shrink: The stem divides height and width by this power of two, at least 1.
        convolution: "separable", a depthwise convolution and one of 1x1, or "full".
        seed: Seed of the weights.
        name: Name of the model.

    Example:
        >>> from keras_invprune import priors
        >>> graph = priors.make("watts-strogatz", n=6)
        >>> convolutional(graph, (32, 32, 3), outputs=10).output_shape
        (None, 10)

    Raises:
        TypeError: If `graph` is not a graph of networkx, or has parallel edges.
        ValueError: If the graph has no edges, self loops or cycles, is not connected or
            too large, or if another argument is not allowed.

    Source:
        Xie et al. 2019, Exploring randomly wired neural networks for image recognition
        (1904.01569), section 3.2. Theirs shrink at each of up to four stages, whose
        graphs differ.
    """
    sizes = {"outputs": outputs, "channels": channels, "stages": stages}
    check_sizes(**sizes, shrink=shrink)
    _check(input_shape, shrink, convolution)
    outputs, channels, shrink = int(outputs), int(channels), int(shrink)
    graph, draw = oriented(graph), _Convolutions(convolution, Seeds(seed))
    _check_size(len(graph) * stages)
    entry = keras.Input(plain(tuple(input_shape)))
    x = _stem(entry, channels, shrink, draw)
    for stage in range(stages):
        stride = 2 if stage else 1
        x = _stage(x, graph, channels * 2**stage, stride, f"stage_{stage + 1}", draw)
    x = keras.layers.ReLU(name="last")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    last = keras.layers.Dense(
        outputs,
        kernel_initializer=keras.initializers.LecunUniform(draw.seeds()),
        name="outputs",
    )
    return keras.Model(entry, last(x), name=name or "convolutional")


class _Convolutions:
    """Convolutions with BatchNormalization, which makes a bias superfluous."""

    def __init__(self, kind: str, seeds: Seeds):
        self.kind, self.seeds = kind, seeds

    def __call__(self, x, filters: int, stride: int, name: str, kind: str = ""):
        options = {"strides": stride, "padding": "same", "use_bias": False}
        if (kind or self.kind) == "separable":
            layer = keras.layers.SeparableConv2D(
                filters,
                3,
                depthwise_initializer=self._initializer(),
                pointwise_initializer=self._initializer(),
                name=name,
                **options,
            )
        else:
            layer = keras.layers.Conv2D(
                filters, 3, kernel_initializer=self._initializer(), name=name, **options
            )
        normalize = keras.layers.BatchNormalization(
            momentum=MOMENTUM, name=f"{name}_normalized"
        )
        return normalize(layer(x))

    def _initializer(self):
        return keras.initializers.HeNormal(self.seeds())


def _stem(x, channels, shrink, draw):
    """Return the first convolution, which shrinks by 2, and what shrinks further."""
    x = draw(x, channels, min(shrink, 2), "stem", kind="full")
    if shrink > 2:
        x = keras.layers.ReLU(name="stem_active")(x)
        pool = keras.layers.MaxPooling2D(shrink // 2, padding="same", name="stem_pool")
        x = pool(x)
    return x


def _stage(x, graph, filters, stride, name, draw):
    """Return the average of the nodes that no other node reads."""
    made = {}
    for node in networkx().lexicographical_topological_sort(graph):
        own = f"{name}_node_{node}"
        read = [made[other] for other in sorted(graph.predecessors(node))]
        if not read:
            into, step = x, stride
        elif len(read) == 1:
            into, step = read[0], 1
        else:
            into, step = WeightedSum(name=f"{own}_sum")(read), 1
        into = keras.layers.ReLU(name=f"{own}_active")(into)
        made[node] = draw(into, filters, step, own)
    ends = [made[node] for node in sorted(graph) if not graph.out_degree(node)]
    if len(ends) == 1:
        return ends[0]
    return keras.layers.Average(name=f"{name}_mean")(ends)


def _check_size(nodes):
    if nodes > MAX_NODES:
        raise ValueError(
            f"A network can have at most {MAX_NODES} convolutions, since each is a "
            f"Keras layer. Received: {nodes:,} nodes in all stages. Use a smaller "
            "graph."
        )


def _check(input_shape, shrink, convolution):
    known = [size for size in input_shape if size is not None]
    if (
        len(input_shape) != 3
        or input_shape[2] is None
        or not all(map(is_positive_integer, known))
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels), all positive integers; "
            f"height and width may be None. Received: input_shape={input_shape!r}."
        )
    if shrink & (shrink - 1):
        raise ValueError(
            f"`shrink` must be a power of two: 1, 2, 4, ... Received: shrink={shrink}."
        )
    if convolution not in CONVOLUTIONS:
        raise ValueError(
            "`convolution` must be 'separable' or 'full'. Received: "
            f"convolution={convolution!r}."
        )
