"""The columns of a table of trained graphs: the one place that says them.

``keras-invprune structure train`` writes such a table, and ``structure predict`` reads
it. A row is one training: a graph, made into a network of one kind of cell, trained
from one seed.

| column | what it is |
|---|---|
| ``graph`` | name of the graph, the same for all its seeds and cells |
| ``prior`` | family that the graph was drawn from, such as ``watts-strogatz`` |
| ``cell`` | what its nodes compute, such as ``gru``; each kind is read by itself |
| ``seed`` | seed of the training |
| the 23 `FEATURES` | the structure of the graph |
| ``proxy_...`` | cheap scores of the network before training; may be absent |
| ``parameters`` | number of weights of the network |
| ``test_accuracy`` | share in [0, 1] |

All other columns of numbers are figures of the training; ``--target`` may name one.
"""

GRAPH, PRIOR, CELL, SEED = "graph", "prior", "cell", "seed"
GROUP = "group"
"""Rows that must not be on both sides of a split, if a table knows more than names."""
KEYS = (GRAPH, PRIOR, CELL, SEED, GROUP)
PARAMETERS, ACCURACY = "parameters", "test_accuracy"
PROXY = "proxy_"
"""What the names of cheap scores begin with."""

SPREADS = ("mean", "var", "std")
SINGLE = (
    "layers",
    "nodes",
    "edges",
    "source_nodes",
    "sink_nodes",
    "diameter",
    "density",
    "average_shortest_path_length",
)
DISTRIBUTIONS = (
    "eccentricity",
    "degree_centrality",
    "closeness_centrality",
    "betweenness_centrality",
    "edge_betweenness_centrality",
)
FEATURES = (*SINGLE, *(f"{name}_{kind}" for name in DISTRIBUTIONS for kind in SPREADS))
"""The names of `keras_invprune.priors.features`, known without importing TensorFlow."""
