"""What a column of a table says: numbers, categories, or some of each.

Each column is read by a rule that is learned from the training rows alone:

- Numbers are taken as they are, durations as days.
- Dates become four numbers: days since the first one in training, month, day of the
  week, hour of the day. Periods are dates by their start; dates with a time zone, and
  text with an offset from UTC, are read in UTC.
- Truth values and declared categories stay categories; categories that are all dates
  are dates.
- Text, and columns of mixed values, are read as numbers, dates or durations (times of
  day among them, in days), whichever reads more of the training values, if that is at
  least half of them. If it is all of them, what cannot be read later is missing;
  otherwise what cannot be read is a category next to the number. All other columns are
  categories.

In text, "", "?", "-", "NA", "N/A", "nan", "none" and "null" next to numbers or dates
mean that the value is missing. A column writes its numbers in one way, with a decimal
point or comma and with or without groups of three digits: the way that reads most
values, in case of a tie the first of `NUMBERS`. Digits that begin with 0, such as
"007" or "01234", are codes, so a column that has them is one of categories. A number
may have a unit or a currency, the same in the whole column.

A column writes its dates in one of the ways of `keras_invprune_lab.data.dates`: the way
that reads most values. Where no value tells day, month and year apart, the first of
these ways is taken, and the others are named. Numbers that are all dates in the years
1900 to 2099, such as 20200226, are dates. What is guessed is logged. So is a column of
text that is different in nearly every row, or that looks like dates and is not read.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import numpy as np

from keras_invprune_lab.data.dates import DATES, dates_of, look_like_dates

LARGEST = 1e30  # with room for what float32 still tells apart once standardized
MOSTLY = 0.5
FEW = 5  # different texts: of so few nothing is said
MISSING = frozenset({"", "?", "-", "na", "n/a", "nan", "none", "null"})
CODE = r"[+-]?0\d+"
# What separates groups of three digits, and what the decimals.
NUMBERS = {
    "1234.5": ("", "."),
    "1,234.5": (",", "."),
    "1234,5": ("", ","),
    "1 234.5": (" ", "."),
    "1 234,5": (" ", ","),
    "1.234,5": (".", ","),
}
DURATION = r"(?:[+-]?\d+ days?,? )?\d\d?:\d\d(?::\d\d(?:\.\d+)?)?|[+-]?\d+ days?"
CURRENCY = "[$€£¥]"
QUANTITY = (
    rf"(?P<before>{CURRENCY}? ?)(?P<number>[+-]?\d(?:[\d., ]*\d)?)"
    rf"(?P<after> ?(?:%|{CURRENCY}|[A-Za-zµ°][A-Za-z/°²³]{{0,9}})?)"
)
ONE_DAY = np.timedelta64(1, "D")
logger = logging.getLogger("keras_invprune")


class Reading(NamedTuple):
    """How a column is read.

    Attributes:
        numbers: Column to arrays of floats, NaN where missing; None: no numbers.
        words: Column to text, None where missing; None: no categories.
    """

    numbers: Callable | None = None
    words: Callable | None = None


def read(frame, rows):
    """Return numbers and text from a table of any types.

    Args:
        frame: pandas.DataFrame, [n, columns].
        rows: Row numbers of the training part, from which the rules are learned.

    Returns:
        A DataFrame of the same rows, whose columns 0, 1, ... are float64 (NaN where
        missing) or text (None where missing), and the names of the columns that these
        come from.
    """
    import pandas as pd

    columns, names = [], []
    for place, name in enumerate(frame.columns):
        column = _unwrapped(frame.iloc[:, place]).reset_index(drop=True)
        reading = _reading(column.iloc[rows], name)
        if reading.numbers:
            columns += map(pd.Series, reading.numbers(column))
        if reading.words:
            columns.append(reading.words(column).astype(object))
        names += [name] * (len(columns) - len(names))
    if not columns:
        return pd.DataFrame(index=range(len(frame))), names
    return pd.concat(columns, axis=1, keys=range(len(columns))), names


def _unwrapped(column):
    """Remove what pandas wraps values in: sparsity, periods, categories of dates."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return column.astype(dtype.subtype)
    if isinstance(dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC")
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mM":
        return column.astype(dtype.numpy_dtype)
    if isinstance(dtype, pd.CategoricalDtype) and dtype.categories.dtype.kind in "mM":
        return column.astype(dtype.categories.dtype)
    return column


def _reading(column, name) -> Reading:
    kind = column.dtype.kind
    if kind in "iuf":
        return (
            _reading_of_text(column, name) if _are_dates(column) else Reading(_floats)
        )
    if kind == "m":
        return Reading(numbers=lambda column: _floats(column / ONE_DAY))
    if kind == "M":
        return Reading(numbers=partial(_parts, origin=column.min()))
    if kind in "bc":
        return Reading(words=_words)
    return _reading_of_text(column, name)


def _floats(column):
    return [column.to_numpy(dtype="float64", na_value=np.nan)]


def _parts(column, origin):
    """Return days since `origin`, month, day of the week and hour of dates."""
    times = column.dt
    hour = times.hour + times.minute / 60 + times.second / 3600
    parts = (column - origin) / ONE_DAY, times.month, times.day_of_week, hour
    return [array for part in parts for array in _floats(part)]


def _words(column):
    """Return text for all values, so that types do not mix; None for the missing."""
    return column.astype(object).map(str).where(column.notna(), None)


def _are_dates(column) -> bool:
    """Return whether numbers are all dates such as 20200226, or 20200226060000."""
    if not column.dropna().between(19000101, 20991231235959).all():
        return False  # most columns of numbers end here
    _, texts = _spelled(column)
    return bool(len(texts)) and dates_of(texts, DATES["YYYYMMDD"]).notna().all()


def _reading_of_text(column, name) -> Reading:
    import pandas as pd

    declared = isinstance(column.dtype, pd.CategoricalDtype)
    codes, texts = _spelled(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    total = counts.sum()
    most, way, reader = _best_reader(texts, counts, dates_only=declared)
    if not most or most < total * (1.0 if declared else MOSTLY) or _has_codes(texts):
        _tell_unread(name, texts, total, declared)
        return Reading(words=_words)
    logger.warning(
        "The column %r is guessed: %d of its %d values in training are read as %s; "
        "what cannot be read is %s.",
        name,
        most,
        total,
        way,
        "missing" if most == total else "a category",
    )
    return _reading_by(reader, reader(texts).min(), words=most < total)


def _best_reader(texts, counts, dates_only):
    """Return how many values the best reader reads, what they are, and the reader."""
    found = [
        (counts[reader(texts).notna()].sum(), way, reader)
        for way, reader in _readers(texts, counts, dates_only)
    ]
    most, way, best = max(found, key=lambda each: each[0])
    taken = best(texts)
    if taken.dtype.kind != "M":
        return most, way, best
    tied = [(other, reader(texts)) for n, other, reader in found if n == most]
    others = [o for o, v in tied if v.dtype == taken.dtype and not v.equals(taken)]
    doubt = f" (no value tells them from {' or '.join(others)})" if others else ""
    return most, way + doubt, best


def _tell_unread(name, texts, total, declared):
    if len(texts) > FEW and look_like_dates(texts):
        logger.warning(
            "The column %r looks like dates, such as %r, but they are not all written "
            "in one known way. Each becomes a category, and other dates carry no "
            "information. Convert the column by pandas.to_datetime.",
            name,
            texts.iloc[0],
        )
    elif not declared and len(texts) > max(FEW, MOSTLY * total):
        logger.warning(
            "The column %r holds %d different texts in %d rows of training. Each "
            "becomes a category, and other texts carry no information. Drop the "
            "column, or convert it to numbers.",
            name,
            len(texts),
            total,
        )


def _reading_by(reader, origin, words) -> Reading:
    """Return how text is read once it is known what it is: by `reader`.

    Args:
        reader: Series of text to Series of numbers or dates.
        origin: The first date in training, if they are dates.
        words: Whether what cannot be read is a category.
    """

    def values(column):
        codes, texts = _spelled(column)
        return reader(texts).reindex(codes).reset_index(drop=True)

    def numbers(column):
        found = values(column)
        return _parts(found, origin) if found.dtype.kind == "M" else _floats(found)

    def others(column):
        codes, texts = _spelled(column)
        texts = texts.mask(reader(texts).notna(), "(number)")
        return texts.reindex(codes).reset_index(drop=True)

    return Reading(numbers, others if words else None)


def _spelled(column):
    """Return the values as text: which one in each row (-1: missing), and the texts."""
    import pandas as pd

    texts = column.astype(object).map(_text).where(column.notna(), "").map(str.strip)
    codes, texts = pd.factorize(texts.mask(texts.str.casefold().isin(MISSING), None))
    return codes, pd.Series(texts, dtype=object)


def _text(value) -> str:
    days = isinstance(value, timedelta) and value == value  # NaT is not
    whole = isinstance(value, float) and value.is_integer()  # next to missing values
    return str(value / timedelta(days=1) if days else int(value) if whole else value)


def _has_codes(texts) -> bool:
    return bool(texts.str.fullmatch(CODE).any())


def _readers(texts, counts, dates_only):
    """Yield pairs (what it is, Series of text to Series of values or missing)."""
    for way, pattern in DATES.items():
        yield f"dates such as {way}", partial(dates_of, pattern=pattern)
    if not dates_only:
        for way, marks in NUMBERS.items():
            yield f"numbers such as {way}", partial(_numbers_of, marks=marks)
        yield "durations such as 1 days 02:30:00, in days", _durations_of
        for sign, of_unit in _quantities(texts, counts):
            for way, marks in NUMBERS.items():
                whole = way.join(sign)
                yield f"numbers such as {whole}", partial(of_unit, marks=marks)


def _quantities(texts, counts):
    """Return the unit or currency of most values, and what reads such numbers."""
    parts = texts.str.extract(f"^{QUANTITY}$").astype(object)
    signs = (parts["before"] + "#" + parts["after"]).mask(lambda s: s == "#")
    shares = signs.groupby(signs).apply(lambda group: counts[group.index].sum())
    if len(shares):
        before, after = shares.idxmax().split("#")
        yield (before, after), partial(_numbers_with, before=before, after=after)


def _numbers_with(texts, before, after, marks):
    begins = texts.str.startswith(before, na=False)
    fits = begins & texts.str.endswith(after, na=False)
    bare = texts.str.slice(len(before)).str.removesuffix(after)
    return _numbers_of(bare.where(fits.astype(bool)), marks)


def _durations_of(texts):
    import pandas as pd

    plain = texts.where(texts.str.fullmatch(DURATION))
    plain = plain.str.replace(",", "").str.replace(
        r"(^| )(\d\d?:\d\d)$", r"\1\2:00", regex=True
    )
    return pd.to_timedelta(plain, errors="coerce") / ONE_DAY


def _numbers_of(texts, marks):
    group, point = (f"[{mark}]" if mark else "" for mark in marks)
    whole = rf"\d+|[1-9]\d{{0,2}}(?:{group}\d{{3}})+" if group else r"\d+"
    number = rf"[+-]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    plain = texts.str.replace("[\u00a0\u202f]", " ", regex=True)
    plain = plain.str.replace("\u2212", "-")
    plain = plain.where(plain.str.fullmatch(number))
    if group:
        plain = plain.str.replace(marks[0], "", regex=False)
    plain = plain.str.replace(marks[1], ".", regex=False)
    values = plain.astype("float64")
    return values.where(values.abs() <= LARGEST)
