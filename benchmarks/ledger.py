"""Tables of benchmarks that resume: rows of finished seeds, in a CSV file.

A benchmark reads what an earlier run has written, measures the seeds that are missing,
and writes the whole table after each of them.
"""

import csv

from keras_invprune_lab.training.files import write_csv


def seed_of(row) -> int:
    """Return the seed of a row."""
    return int(row["seed"])


def finished(file, key=seed_of) -> dict:
    """Return the rows that an earlier run has written; their values are text.

    Args:
        file: A CSV file, which need not exist.
        key: ``row -> what is measured at once``, by default its seed.
    """
    found = {}
    if file.exists():
        with open(file, newline="") as stream:
            for row in csv.DictReader(stream):
                found.setdefault(key(row), []).append(row)
    return found


def write(found, file, fields):
    """Write all rows, in the order in which they were measured."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(file, [row for rows in found.values() for row in rows], fields)
