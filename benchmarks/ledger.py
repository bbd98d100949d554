"""Tables of benchmarks that resume: rows of finished seeds, in a CSV file.

A benchmark reads what an earlier run has written, measures the seeds that are missing,
and writes the whole table after each of them.
"""

import csv

from keras_invprune_lab.training.files import write_csv


def seed_of(row) -> int:
    """Return the seed of a row."""
    return int(row["seed"])


def rows(file) -> list[dict]:
    """Return the rows of a CSV file, none if there is no such file; values are text."""
    if not file.exists():
        return []
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


def finished(file, key=seed_of) -> dict:
    """Return the rows that an earlier run has written; their values are text.

    Args:
        file: A CSV file, which need not exist.
        key: ``row -> what is measured at once``, by default its seed.
    """
    found = {}
    for row in rows(file):
        found.setdefault(key(row), []).append(row)
    return found


def write(found, file, fields):
    """Write all rows, in the order in which they were measured."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(file, [row for each in found.values() for row in each], fields)
