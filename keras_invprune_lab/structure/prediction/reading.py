"""Reads a table of trained graphs, whatever its format."""

from pathlib import Path

from keras_invprune_lab.structure.prediction.csv_tables import read_csv
from keras_invprune_lab.structure.prediction.graph2nn import read_graph2nn
from keras_invprune_lab.structure.prediction.random_graph_nn import read_random_graph_nn
from keras_invprune_lab.structure.prediction.table import Table

READERS = {".csv": read_csv, ".npy": read_graph2nn, ".pkl": read_random_graph_nn}


def read(file: Path) -> Table:
    """Return the table in a file.

    Args:
        file: CSV of ``structure train`` or of the paper's authors, ``results_*.npy`` of
            graph2nn, or ``data30.pkl`` or ``data60.pkl`` of random-graph-nn-paper.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the format is unknown, or the content not what it says.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file {file}. `keras-invprune structure train` writes a table "
            "of trained graphs."
        )
    reader = READERS.get(file.suffix)
    if reader is None:
        raise ValueError(
            f"A table is a file .csv, .npy (graph2nn) or .pkl (random-graph-nn-paper). "
            f"Received: {file.name}."
        )
    return reader(file)
