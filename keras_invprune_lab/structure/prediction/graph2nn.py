"""The table of relational graphs by You et al. 2020, in NumPy's files."""

from pathlib import Path

import numpy as np
import pandas as pd

from keras_invprune_lab.structure.columns import ACCURACY, CELL, GRAPH, PRIOR, SEED
from keras_invprune_lab.structure.prediction.table import Table, complete

FEATURES = ("degree", "clustering", "average_shortest_path_length")
"""What the files tell of a graph. Its rewiring probability is not among them: it is an
argument of the generator, and cannot be read from the graph."""
ERROR = 3  # column of the results with the error in percent
SHARE, REWIRING, AGGREGATION, GRAPH_SEED = 4, 5, 6, 7  # columns of the names


def read_graph2nn(file: Path) -> Table:
    """Return the table of which a file ``results_*.npy`` has the results.

    ``names_*.npy``, of the same ending, must be next to it. ``graphs_n*_*.npy``, with
    clustering and path length, may also be one or two folders above, as in the
    repository facebookresearch/graph2nn, folder analysis.

    Args:
        file: Results, [graphs, seeds, 8]; column 3 is the error in percent.

    Returns:
        A row for each graph and seed, with accuracy as a share in [0, 1]. The complete
        graph, which the files call the baseline, is left out.

    Raises:
        FileNotFoundError: If one of the other files is missing.
        ValueError: If a file does not have its shape, or if no graph is found in both.

    Source:
        You, Leskovec, He and Xie 2020, Graph structure of neural networks (2007.06559).
    """
    results = _loaded(file, 3)
    names = _loaded(_names(file), 2)
    if results.shape[0] != names.shape[0] or results.shape[2] <= ERROR:
        raise ValueError(
            f"{file} should hold [graphs, seeds, 8] of the {names.shape[0]} graphs "
            f"that {_names(file).name} names. Received: an array of {results.shape}."
        )
    described = _described(file)
    # The names hold shares and probabilities as text, rounded to six digits.
    places = {
        _key(*row[[SHARE, REWIRING, GRAPH_SEED]]): i for i, row in enumerate(names)
    }
    rows = []
    for nodes, share, rewiring, seed, clustering, path in described:
        place = places.get(_key(round(share, 6), round(rewiring, 6), seed))
        if place is None:
            continue
        graph = f"ws-flex-{nodes:.0f}-{share:.6f}-{rewiring:.6f}-{seed:.0f}"
        structure = dict(zip(FEATURES, (share * nodes, clustering, path), strict=True))
        for run, error in enumerate(results[place, :, ERROR]):
            row = {GRAPH: graph, PRIOR: "ws_flex", CELL: file.stem.split("_")[1]}
            rows.append(row | {SEED: run, **structure, ACCURACY: 1 - error / 100})
    if not rows:
        raise ValueError(
            f"None of the {len(names)} graphs of {file.name} is among the "
            f"{len(described)} whose clustering and path length are known."
        )
    return Table(complete(pd.DataFrame(rows)), FEATURES, ACCURACY, "graph2nn")


def _key(share, rewiring, seed) -> tuple[float, float, float]:
    return float(share), float(rewiring), float(seed)


def _names(file) -> Path:
    return file.with_name(file.name.replace("results_", "names_", 1))


def _described(file) -> np.ndarray:
    """Return the largest array of graphs that belongs to the results."""
    folders = [file.parent, *file.resolve().parents[1:3]]
    found = [
        path for folder in folders for path in sorted(folder.glob("graphs_n*_*.npy"))
    ]
    if not found:
        raise FileNotFoundError(
            "The structure of the graphs is in a file such as graphs_n64_3942.npy, and "
            f"there is none next to {file} nor in the two folders above. It is in the "
            "folder analysis of facebookresearch/graph2nn."
        )
    arrays = [_loaded(path, 2) for path in found]
    return max(arrays, key=len)


def _loaded(file, axes) -> np.ndarray:
    """Load an array of so many axes; objects, which would be pickled, are refused."""
    if not file.exists():
        raise FileNotFoundError(f"There is no file {file}, which belongs to the table.")
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file} is not an array of numbers: {error}.") from error
    if array.ndim != axes:
        raise ValueError(
            f"{file} should hold an array of {axes} axes. Received: {array.shape}."
        )
    return array
