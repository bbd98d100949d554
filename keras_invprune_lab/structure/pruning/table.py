"""The table of pruned networks: its columns, reading and writing.

A row is one test of a network or of one of its pruned copies.

| column | what it is |
|---|---|
| ``cell``, ``seed`` | the network |
| ``part`` | whose weights were removed; ``none`` before pruning |
| ``percent`` | how many of them |
| ``epoch`` | epochs of training after pruning |
| ``test_accuracy`` | in percent |
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from keras_invprune_lab.training.files import read_csv, write_csv

TABLE = "pruned.csv"
FIELDS = ("cell", "seed", "part", "percent", "epoch", "test_accuracy")
UNPRUNED = "none"

Key = tuple[str, int]


def network_of(row: dict) -> Key:
    """Return (cell, seed) of a row."""
    return row["cell"], int(row["seed"])


def copy_of(row: dict) -> Key:
    """Return (part, percent) of a row."""
    return row["part"], int(row["percent"])


def read(file: Path) -> list[dict]:
    """Return the rows of a table; none if there is no such file.

    Raises:
        ValueError: If its columns are not ours.
    """
    return read_csv(file, [FIELDS], "pruned networks")


def grouped(rows: Iterable[dict], key) -> dict[Key, list[dict]]:
    """Return ``{key(row): rows}``, in their order."""
    found: dict[Key, list[dict]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def write(found: dict[Key, list[dict]], file: Path) -> None:
    """Write what `grouped` returned."""
    write_csv(file, [row for rows in found.values() for row in rows], FIELDS)
