"""Dates written as text, in the ways that people and programs write them.

A way is written with YYYY (year), YY (year from 1969 to 2068), MM, DD, Mon (a month in
English, short or long) and Qn (quarter). A space stands for a space, "-" or "/". The
day of the week may come first, a time and an offset from UTC last.
"""

import calendar
import re

WAYS = (
    "YYYY-MM-DD",
    "YYYY/MM/DD",
    "YYYY.MM.DD",
    "YYYY MM",
    "MM/YYYY",
    "MM-YYYY",
    "DD.MM.YYYY",
    "DD-MM-YYYY",
    "MM-DD-YYYY",
    "MM/DD/YYYY",
    "DD/MM/YYYY",
    "DD.MM.YY",
    "MM/DD/YY",
    "DD/MM/YY",
    "YY/MM/DD",
    "DD-MM-YY",
    "MM-DD-YY",
    "YY-MM-DD",
    "DD Mon YYYY",
    "DD Mon YY",
    "Mon DD, YYYY",
    "YYYY Mon DD",
    "Mon YYYY",
    "YYYY Mon",
    "Mon-YY",
    "YYYYQn",
    "YYYY Qn",
    "Qn YYYY",
)
DIGITS = r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?:T?(?P<clock>\d{6}))?"
PARTS = {
    "YYYY": r"(?P<year>\d{4})",
    "YY": r"(?P<year>\d\d)",
    "MM": r"(?P<month>\d\d?)",
    "DD": r"(?P<day>\d\d?)(?:[snrt][tdh])?",
    "Mon": r"(?P<name>[A-Za-z]{3,9})\.?",
    "Qn": r"Q(?P<quarter>[1-4])",
    " ": "[ /-]",
    ",": ",?",
    ".": r"\.",
}
WEEKDAYS = "|".join([*calendar.day_name, *calendar.day_abbr])
WEEKDAY = rf"(?:(?:{WEEKDAYS})\.?,? )?"
TIME = (
    r"(?:(?:[T :]|, )(?P<hour>\d\d?):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d(?:[.,]\d+)?))?(?: ?(?P<half>[AaPp])[Mm])?"
    r"(?P<hours_off>[+-]\d\d)?)?(?P<offset> ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
MONTHS = {
    name.casefold(): f"{n:02d}"
    for names in (calendar.month_name, calendar.month_abbr)
    for n, name in enumerate(names)
    if name
}
MONTHS["sept"] = "09"
ANY_MONTH = "|".join(MONTHS)
PIVOT = 69  # POSIX: 69 to 99 are of the 20th century, 00 to 68 of the 21st
LIKE_A_YEAR = r"(?:19|20)\d\d"
LIKE_A_DATE = "|".join(
    (
        rf"{LIKE_A_YEAR}[-/. ]?(?:\d\d?|[QWH]\d\d?)\b",
        rf"\b(?:\d\d?[-/.]){{2}}{LIKE_A_YEAR}",
        r"(?<![-/.\d])\d\d[-/.]\d\d[-/.]\d\d(?![-/.\d])",
        rf"\b\d\d?\.?[ -][^\W\d]{{3,}}\.?[ -]{LIKE_A_YEAR}",
        rf"(?i:\b(?:{ANY_MONTH})\b.*\d|\d.*\b(?:{ANY_MONTH})\b)",
    )
)


def _pattern(way) -> str:
    """Return the regular expression of a way of `WAYS`."""
    pattern = re.sub("YYYY|YY|MM|DD|Mon|Qn|[ ,.]", lambda m: PARTS[m[0]], way)
    if "YYYY" in way or "/" in way or "Mon" in way:
        return pattern
    return pattern.replace(r"\d\d?", r"\d\d")  # 1.2.10 is a version


DATES = {"YYYYMMDD": DIGITS} | {way: _pattern(way) for way in WAYS}


def dates_of(texts, pattern):
    """Return the dates that texts say, in UTC; missing where they say none.

    Args:
        texts: pandas.Series of text.
        pattern: Of `DATES`.
    """
    import pandas as pd

    pattern = f"{WEEKDAY}{pattern}{TIME}"
    fits = texts.str.fullmatch(pattern, na=False).astype(bool)
    if not fits.any():  # the usual answer, and all that follows takes milliseconds
        return pd.to_datetime(texts.where(fits), utc=True)
    found = texts[fits].str.extract(f"^{pattern}$").astype(object)
    iso = _year(found) + "-" + _month(found) + "-" + _day(found) + "T" + _clock(found)
    iso += _filled(found["hours_off"], "") + _filled(found["offset"], "").str.strip()
    iso = iso.str.replace("UTC|GMT", "Z", regex=True).reindex(texts.index)
    return pd.to_datetime(iso, format="ISO8601", utc=True, errors="coerce")


def _year(found):
    years = found["year"].astype(int)
    short = found["year"].str.len() == len("YY")
    years += short * (1900 + 100 * (years < PIVOT))
    return years.astype(str).str.zfill(4).astype(object)


def _month(found):
    if "quarter" in found:
        return (3 * found["quarter"].astype(int) - 2).astype(str).str.zfill(2)
    if "name" in found:
        return found["name"].str.casefold().map(MONTHS).astype(object)
    return found["month"].str.zfill(2)


def _day(found):
    return found["day"].str.zfill(2) if "day" in found else "01"


def _clock(found):
    if "clock" in found:
        for place, name in enumerate(("hour", "minute", "second")):
            digits = found["clock"].str.slice(2 * place, 2 * place + 2)
            found[name] = _filled(found[name], digits)
    minutes, seconds = (_filled(found[name], "00") for name in ("minute", "second"))
    return _hours(found) + ":" + minutes + ":" + seconds.str.replace(",", ".")


def _hours(found):
    """Return the hour of 24, two digits: 12 AM is 00, 12 PM is 12."""
    hours, half = _filled(found["hour"], "0").astype(int), found["half"].str.casefold()
    hours = hours.where(half.isna(), hours % 12 + 12 * (half == "p"))
    return hours.astype(str).str.zfill(2).astype(object)


def look_like_dates(texts) -> bool:
    """Return whether most of the texts look like dates, read or not."""
    return bool(len(texts)) and texts.str.contains(LIKE_A_DATE).mean() > 1 / 2


def _filled(column, value):
    """Return a column of text with a value where there is none.

    `fillna` of pandas 2 warns of a column without any text.
    """
    return column.astype(object).mask(column.isna(), value)
