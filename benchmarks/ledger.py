"""Tables of benchmarks that resume: rows of finished seeds, in a CSV file.

A benchmark reads what an earlier run has written, measures the seeds that are missing,
and writes the whole table after each of them. Its page has a column for the mean over
the seeds and another one for their spread.
"""

import csv
import functools
import itertools

import keras
import numpy as np

from keras_invprune.saving import replaced
from keras_invprune_lab.training.files import write_csv

LOADED = functools.partial(keras.saving.load_model, compile=False)


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
    """Write all rows, in the order in which they were measured.

    New rows become text in `found`, too, so that they are grouped with earlier ones.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(file, [row for each in found.values() for row in each], fields)
    written = iter(rows(file))
    for each in found.values():
        each[:] = itertools.islice(written, len(each))


def kept(file, make, load=LOADED):
    """Return the model in a file, which is complete whenever it is there.

    Args:
        file: A .keras file, whose folder need not exist.
        make: Called without arguments if there is no such file; returns the model.
        load: ``file -> model``.
    """
    if not file.exists():
        model = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file) as new:
            model.save(new)
    return load(file)


def mean_and_spread(values, form=".2f", standard_error=False) -> list[str]:
    """Return two cells of a table: the mean of some values, and their spread.

    Args:
        values: A number for each seed.
        form: How both are written, a format specification; a spread has no sign.
        standard_error: Whether the spread is that of the mean. By default it is the
            standard deviation (ddof = 1) of the values.

    Returns:
        The cells' text. There is no spread of fewer than two values, and no mean of
        none: these cells are empty.
    """
    cells = [f"{np.mean(values):{form}}" if len(values) else "", ""]
    if len(values) > 1:
        spread = np.std(values, ddof=1) / (len(values) ** 0.5 if standard_error else 1)
        cells[1] = f"{spread:{form.lstrip('+')}}"
    return cells


def median_and_range(values, percentiles=(25, 75)) -> list[str]:
    """Return three cells of a table: the median of some values, and two percentiles."""
    found = np.percentile(values, (50, *percentiles))
    return [f"{value:.2f}" for value in found]


def with_ranges(names, range_) -> list[str]:
    """Return the headings of columns of medians, each followed by two percentiles'."""
    return [heading for name in names for heading in (name, *range_)]


def with_spreads(names) -> list[str]:
    """Return the headings of columns of means, each followed by its spread's."""
    return [heading for name in names for heading in (name, "spread")]
