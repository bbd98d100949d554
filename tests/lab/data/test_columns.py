"""What is read from a column: values computed by hand or by Python's own types."""

import datetime
import decimal
import logging

import numpy as np
import pandas as pd
import pytest

from keras_invprune_lab.data import prepare
from keras_invprune_lab.data.columns import read

ROWS = 24
DAYS = [datetime.datetime(2020, 2, 26, 6) + datetime.timedelta(i) for i in range(ROWS)]
TOKYO = datetime.timezone(datetime.timedelta(hours=9))
# Days since the first, month, day of the week, hour.
PARTS = [[float(i), d.month, d.weekday(), 6.0] for i, d in enumerate(DAYS)]


def numbers(values, rows=None):
    """What `read` makes of a column, which has to be numbers alone."""
    frame = pd.DataFrame({"column": values})
    found, names = read(frame, np.arange(len(frame)) if rows is None else rows)
    assert set(names) == {"column"} and (found.dtypes == "float64").all()
    return found.to_numpy()


def is_category(values):
    found, _ = read(pd.DataFrame({"column": values}), np.arange(len(values)))
    return found.shape[1] == 1 and found[0].dtype == object


def objects(values):
    return pd.Series([*values], dtype=object)


DATES = {
    "dates": pd.Series(DAYS),
    "with a time zone": pd.Series(DAYS)
    .dt.tz_localize("UTC")
    .dt.tz_convert("Asia/Tokyo"),
    "objects": objects(DAYS),
    "objects with a time zone": objects(
        day.replace(tzinfo=datetime.UTC).astimezone(TOKYO) for day in DAYS
    ),
    "categories": pd.Series(DAYS).astype("category"),
    "categories of text": pd.Series(map(str, DAYS)).astype("category"),
    "periods": pd.Series(DAYS).dt.to_period("h"),
    "ISO text": [day.isoformat() for day in DAYS],
    "ISO text with a zone": [f"{day.isoformat(' ')}Z" for day in DAYS],
    "pandas text": pd.array([*map(str, DAYS)], dtype="string"),
    "slashes": [f"{day:%Y/%m/%d %H:%M}" for day in DAYS],
    "points": [f"{day:%d.%m.%Y %H:%M}" for day in DAYS],
    "day last": [f"{day:%m/%d/%Y %H:%M}" for day in DAYS],
    "day first": [f"{day:%d/%m/%Y %H:%M}" for day in DAYS],
    "day first, hyphens": [f"{day:%d-%m-%Y %H:%M:%S}" for day in DAYS],
    "names of months": [f"{day:%d-%b-%Y %H:%M}" for day in DAYS],
    "whole names, day second": [f"{day:%B %d, %Y %H:%M}" for day in DAYS],
    "AM and PM": [f"{day:%m/%d/%Y %I:%M %p}" for day in DAYS],
    "one digit of hours": [f"{day:%m/%d/%Y} {day.hour}:{day:%M}" for day in DAYS],
    "no marks": [f"{day:%Y%m%dT%H%M%S}" for day in DAYS],
    "UTC": [f"{day:%Y-%m-%d %H:%M} UTC" for day in DAYS],
    "Postgres": [f"{day}+00" for day in DAYS],
    "RFC 2822": [f"{day:%a, %d %b %Y %H:%M:%S +0000}" for day in DAYS],
    "day of the week": [f"{day:%A, %B %d, %Y, %I:%M %p}" for day in DAYS],
    "Apache": [f"{day:%d/%b/%Y:%H:%M:%S +0000}" for day in DAYS],
    "digits": [int(f"{day:%Y%m%d%H%M%S}") for day in DAYS],
    "Arrow": pd.Series(DAYS).astype("timestamp[us][pyarrow]"),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_days_month_day_of_the_week_and_hour(kind):
    np.testing.assert_allclose(numbers(DATES[kind]), PARTS)


def test_dates_without_a_time():
    for days in ([day.date() for day in DAYS], [f"{day:%Y-%m-%d}" for day in DAYS]):
        found = numbers(days)
        np.testing.assert_array_equal(found[:, :3], np.array(PARTS)[:, :3])
        np.testing.assert_array_equal(found[:, 3], 0)  # constant: `prepare` drops it
    months = numbers([f"2020-{1 + i % 12:02d}" for i in range(ROWS)])
    np.testing.assert_array_equal(months[:, 1], np.arange(ROWS) % 12 + 1)


@pytest.mark.parametrize(
    "form",
    [
        "%d.%m.%y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d-%m-%y",
        "%m-%d-%y",
        "%m-%d-%Y",
        "%Y.%m.%d",
        "%A, %B %d, %Y",
        "%a %d-%b-%y",
        "%dth %B %Y",
        "%Y-%b-%d",
        "%Y%m%d",
    ],
)
def test_dates_are_read_in_the_ways_that_people_write_them(form):
    found = numbers([day.strftime(form) for day in DAYS])
    np.testing.assert_array_equal(found[:, :3], np.array(PARTS)[:, :3])


@pytest.mark.parametrize(
    "write",
    [
        "{1} {0}",
        "{1}-{0}",
        "{1}. {0}",
        "{0}/{2:02d}",
        "{2}/{0}",
        "{0} {1}",
    ],
)
def test_months_are_dates_by_their_first_day(write):
    names = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    months = [(2019 + i // 12, i % 12) for i in range(ROWS)]
    found = numbers([write.format(year, names[m], m + 1) for year, m in months])
    days = [
        (datetime.date(y, m + 1, 1) - datetime.date(2019, 1, 1)).days for y, m in months
    ]
    np.testing.assert_array_equal(found[:, 0], days)
    np.testing.assert_array_equal(found[:, 1], [m + 1 for _, m in months])


@pytest.mark.parametrize("write", ["{}Q{}", "{}-Q{}", "Q{1} {0}"])
def test_quarters_are_dates_by_their_first_day(write):
    found = numbers([write.format(2000 + i // 4, i % 4 + 1) for i in range(8)])
    days = [0, 91, 182, 274, 366, 456, 547, 639]  # 2000 has a 29th of February
    np.testing.assert_array_equal(found[:, 0], days)
    np.testing.assert_array_equal(found[:, 1], [1, 4, 7, 10] * 2)


def test_years_of_two_digits_are_from_1969_to_2068():
    found = numbers(["31.12.69", "31.12.68", "30.12.99", "31.12.00"])
    years = [datetime.date(y, 12, 31).toordinal() for y in (1969, 2068, 1999, 2000)]
    np.testing.assert_array_equal(
        found[:, 0], np.array(years) - [years[0], years[0], years[0] + 1, years[0]]
    )


def test_the_order_of_days_and_months_is_decided_by_a_value_or_said(caplog):
    found = numbers(["02/03/45", "04/03/45", "13/03/45"])
    np.testing.assert_array_equal(found[:, 0], [0, 2, 11])
    assert "DD/MM/YY;" in caplog.text
    caplog.clear()
    found = numbers(["02/03/45", "04/03/45"])
    np.testing.assert_array_equal(found[:, 1], [2, 4])
    assert "MM/DD/YY (no value tells them from dates such as DD/MM/YY" in caplog.text


@pytest.mark.parametrize("dtype", ["float64", "Int64", "object"])
def test_numbers_that_are_all_dates_are_dates(dtype, caplog):
    days = [int(f"{day:%Y%m%d}") for day in DAYS]
    found = numbers(pd.Series([*days, None], dtype=dtype))
    np.testing.assert_array_equal(found[:-1, :3], np.array(PARTS)[:, :3])
    assert np.isnan(found[-1]).all() and "dates such as YYYYMMDD;" in caplog.text


def test_numbers_that_are_not_all_dates_are_numbers(caplog):
    values = [20200226, 20200230, 20201340, 20200101]
    np.testing.assert_array_equal(numbers(values)[:, 0], values)
    assert not caplog.text


@pytest.mark.parametrize(
    "form", ["%d. enero %Y", "%Y, %d %B", "%Y-W%W-%w", "%a %b %d %H:%M:%S %Y"]
)
def test_dates_that_are_not_read_are_said(form, caplog):
    texts = [day.strftime(form) for day in DAYS] * 20
    for values in (texts, pd.Categorical(texts)):
        assert is_category(values)
        assert "'column' looks like dates" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("write", ["1.{}.10", "10.0.{}.1", "model {}", "{}-40", "a{}"])
def test_what_does_not_look_like_a_date(write, caplog):
    assert is_category([write.format(i) for i in range(1, 10)] * 10)
    assert not caplog.text


@pytest.mark.parametrize("encoding", ["one_hot", "codes"])
def test_a_date_never_seen_is_still_early_or_late(encoding):
    days = pd.Series(pd.date_range("2020-01-01", periods=60))
    y = pd.Series(np.arange(60) >= 30)
    for column in (days, days.dt.strftime("%Y-%m-%d")):
        data = prepare(pd.DataFrame({"when": column}), y, encoding=encoding)
        assert data.x_train.shape == (48, 3)  # no hour
        when = np.append(data.x_train[:, 0], data.x_test[:, 0])
        late = np.append(data.y_train, data.y_test) == 1
        assert when[~late].max() < when[late].min()
        assert len(np.unique(data.x_test[:, 0])) == 12


def test_noon_and_midnight():
    texts = [f"1/{i}/2020 {t}" for i in (1, 2, 3) for t in ("12:30 AM", "12:30 pm")]
    np.testing.assert_allclose(numbers(texts)[:, 3], [0.5, 12.5] * 3)


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["06:00", "18:00", "7:30"], [0.25, 0.75, 7.5 / 24]),
        (["3 days 12:00:00", "1 day 00:00:00", "-1 days"], [3.5, 1, -1]),
        (["1 day, 6:00:00", "06:00:00", "00:00:43.2"], [1.25, 0.25, 0.0005]),
    ],
)
def test_durations_and_times_of_day_written_as_text(texts, days):
    np.testing.assert_allclose(numbers(texts)[:, 0], days)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["12%", "7.5%", "-3%"], [12, 7.5, -3]),
        (["$1,200", "$3", "$12,345.50"], [1200, 3, 12345.5]),
        (["5 kg", "12 kg", "0.5 kg"], [5, 12, 0.5]),
        (["3,5 €", "1.200,25 €", "9 €"], [3.5, 1200.25, 9]),
        (["20°C", "-3°C", "1e3"], [20, -3, np.nan]),
    ],
)
def test_numbers_with_one_unit(texts, values):
    frame = pd.DataFrame({"column": texts})
    found, _ = read(frame, np.arange(3))
    np.testing.assert_allclose(found[0], values)


def test_texts_that_are_all_different_are_said(caplog):
    texts = [f"item {'abcdefghijklmnopqrstuvwx'[i]}" for i in range(ROWS)]
    assert is_category(texts)
    assert f"'column' holds {ROWS} different texts in {ROWS} rows" in caplog.text
    caplog.clear()
    assert is_category([*"abcdef"] * 4) and not caplog.text


def test_missing_dates_are_missing():
    for column in (
        pd.Series([*DAYS, pd.NaT]),
        [*(f"{day:%Y-%m-%d %H:%M}" for day in DAYS), "?"],
        objects([*DAYS, None]),
    ):
        found = numbers(column)
        np.testing.assert_allclose(found[:-1], PARTS)
        assert np.isnan(found[-1]).all()


def test_durations_are_days():
    hours = [datetime.timedelta(hours=36 * i) for i in range(ROWS)]
    for column in (pd.Series(hours), objects(hours)):
        np.testing.assert_allclose(numbers(column)[:, 0], 1.5 * np.arange(ROWS))


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,5", "2,25", "?", "-3,0"], [1.5, 2.25, np.nan, -3]),
        (["1.5", "", "n/a", "2e3"], [1.5, np.nan, np.nan, 2000]),
        (["7", "NA", "none", " 12 "], [7, np.nan, np.nan, 12]),
        (["1,234", "950", "12,500.5", "-"], [1234, 950, 12500.5, np.nan]),
        (["1.234,5", "2,5", "1.000.000", "8"], [1234.5, 2.5, 1e6, 8]),
        (["1 000", "12\u00a0500", "3", "null"], [1000, 12500, 3, np.nan]),
        (["1 000,5", "2,5", "3", "4"], [1000.5, 2.5, 3, 4]),
        (["0,125", "0,250", "1,500", "2"], [0.125, 0.25, 1.5, 2]),
        (["\u22121", "+2", ".5", "3."], [-1, 2, 0.5, 3]),
        ([1, 2.5, None, decimal.Decimal("0.25")], [1, 2.5, np.nan, 0.25]),
        ([1, "2,5", None, "3,5"], [1, 2.5, np.nan, 3.5]),
    ],
)
def test_numbers_written_as_text(texts, values):
    np.testing.assert_allclose(numbers(objects(texts))[:, 0], values)
    if all(isinstance(text, str) for text in texts):
        found = numbers(pd.array(texts, dtype="string"))
        np.testing.assert_allclose(found[:, 0], values)


@pytest.mark.parametrize(
    "values",
    [
        ["007", "12", "3", "40"],  # codes
        ["01234", "99999", "20000", "?"],
        ["1%", "2 kg", "3 m", "$4"],
        ["1-3", "2-4", "10-12", "3-5"],
        ["2020-13-45", "2020-02-30", "2021-00-01", "x"],
        ["now", "today", "inf", "nan"],
        pd.Categorical(["1", "2", "3", "1"]),  # declared to be categories
        pd.Categorical(["2020-01-01", "unknown", "2020-01-02", "2020-01-03"]),
        objects([True, False, None, True]),
        objects([True, False, np.nan, True]),
        pd.array([True, False, None, True], dtype="boolean"),
        np.array([True, False, False, True]),
        ["none", "-", "some", "none"],
        objects([[1], [2], {}, [1]]),
    ],
)
def test_what_stays_a_category(values):
    assert is_category(values)


@pytest.mark.parametrize("encoding", ["one_hot", "codes"])
def test_truth_values_with_holes_are_alike_however_they_are_stored(encoding):
    flags = [None if i % 5 == 0 else i % 2 == 0 for i in range(60)]
    y = pd.Series(np.arange(60) // 2 % 2)
    holes = [np.nan if flag is None else flag for flag in flags]
    stored = [pd.array(flags, dtype="boolean"), objects(flags), objects(holes)]
    found = [prepare(pd.DataFrame({"f": s}), y, encoding=encoding) for s in stored]
    assert found[0].x_train.shape == (48, 3 if encoding == "one_hot" else 1)
    for other in found[1:]:
        np.testing.assert_array_equal(other.x_train, found[0].x_train)
        np.testing.assert_array_equal(other.x_test, found[0].x_test)


def test_mixed_columns_are_numbers_and_words():
    found, _ = read(
        pd.DataFrame({"n": objects([1, "many", "2,5", None, "3,5", "?", "few"])}),
        np.arange(7),
    )
    values = [1, np.nan, 2.5, np.nan, 3.5, np.nan, np.nan]
    np.testing.assert_array_equal(found[0], values)
    words = found[1].where(found[1].notna(), None).to_list()
    assert words[1::2] == ["many", None, None] and words[6] == "few"
    assert words[0] == words[2] == words[4] not in ("many", "few", None)


@pytest.mark.parametrize("encoding", ["one_hot", "codes"])
def test_dates_mixed_with_words(encoding):
    days = [f"{d:%Y-%m-%d}" if i % 3 else "unknown" for i, d in enumerate(DAYS)]
    y = pd.Series(np.arange(ROWS) // 3 % 2)
    data = prepare(pd.DataFrame({"when": days}), y, encoding=encoding)
    # Days, month, day of the week; then "unknown" against a date.
    assert data.x_train.shape[1] == 3 + (2 if encoding == "one_hot" else 1)
    assert np.isfinite(data.x_train).all() and np.isfinite(data.x_test).all()


def test_less_than_half_numbers_are_words():
    assert is_category(["a", "b", "c", "1", "2"])


def test_what_a_column_is_is_learned_in_training():
    texts = ["1", "2", "3", "4", "five", "6,5"]
    found = numbers(texts, rows=np.arange(4))
    np.testing.assert_array_equal(found[:, 0], [1, 2, 3, 4, np.nan, np.nan])
    found = numbers(["2020-03-01", "2020-03-02", "2019-12-31", "soon"], np.arange(2))
    np.testing.assert_array_equal(found[:, 0], [0, 1, -61, np.nan])
    texts = ["a", "b", "1", "2", "3", "4"]
    assert read(pd.DataFrame({"n": texts}), np.arange(2))[0][0].dtype == object


def test_what_is_guessed_is_said_once(caplog):
    caplog.set_level(logging.INFO, "keras_invprune")
    frame = pd.DataFrame(
        {
            "price": ["1,5", "2,5", "?"] * 20,
            "when": pd.date_range("2020-01-01", periods=60),
            "mixed": objects([1, 2, "x"] * 20),
            "words": ["a", "b", "c"] * 20,
        }
    )
    prepare(frame, pd.Series(np.arange(60) // 3 % 2))
    price, mixed = [record.getMessage() for record in caplog.records]
    assert "'price'" in price and "numbers such as 1234,5" in price
    assert "what cannot be read is missing" in price
    assert "'mixed'" in mixed and "what cannot be read is a category" in mixed


def test_text_that_is_too_large_for_a_number_is_no_number():
    found, _ = read(pd.DataFrame({"n": ["1e999", "2", "3"]}), np.arange(3))
    np.testing.assert_array_equal(found[0], [np.nan, 2, 3])
    assert found[1][0] == "1e999"
