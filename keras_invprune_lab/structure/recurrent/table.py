"""The table of trained graphs: its columns, reading and writing."""

from __future__ import annotations

from pathlib import Path

from keras_invprune.priors import FEATURES
from keras_invprune_lab.structure.prediction.proxies import PROXIES
from keras_invprune_lab.training.files import read_csv, write_csv

TABLE = "trained.csv"
KEYS = ("graph", "prior", "cell", "seed")
FIGURES = ("parameters", "test_accuracy")
FIELDS = (*KEYS, *FEATURES, *PROXIES, *FIGURES)
WITHOUT_SCORES = (*KEYS, *FEATURES, *FIGURES)


def key_of(row) -> tuple[str, str, int]:
    """Return (name of a graph, cell, seed) of a row."""
    return row["graph"], row["cell"], int(row["seed"])


def number_of(row) -> int:
    """Return the number of a row's graph."""
    return int(row["graph"].rpartition("-")[2])


def read(file: Path) -> list[dict]:
    """Return the rows of a table; none if there is no such file.

    Cheap scores that it lacks are empty.

    Raises:
        ValueError: If its columns are not ours.
    """
    rows = read_csv(file, [FIELDS, WITHOUT_SCORES], "trained graphs")
    return [dict.fromkeys(PROXIES, "") | row for row in rows]


def write(rows: list[dict], file: Path):
    """Write the table, by cell, seed and graph; it is complete whenever it is there."""

    def place(row):
        return row["cell"], int(row["seed"]), number_of(row)

    write_csv(file, sorted(rows, key=place), FIELDS)
