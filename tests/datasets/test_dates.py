"""Parsing of dates: clear notations, columns that determine the order of day and month, and errors."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.datasets.table.parse_cells import is_empty
from ecgssl.datasets.table.parse_dates import parse_date, read_dates

WHEN = st.datetimes(min_value=datetime.datetime(1970, 1, 1), max_value=datetime.datetime(2200, 1, 1)).map(
    lambda when: when.replace(microsecond=0)
)
CLEAR = (
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y%m%dT%H%M%S",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y, %H:%M:%S Uhr",
    "%d-%b-%Y %H:%M:%S",
    "%d %B %Y %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p",
)


def read(*cells, order=None):
    values, issues, notes = read_dates(cells, range(2, 2 + len(cells)), order)
    return values, [(issue.what, issue.rows) for issue in issues], notes


@given(WHEN, st.sampled_from(CLEAR))
def test_clear_forms(when, form):
    assert read(when.strftime(form))[0] == [when.isoformat()]


@given(
    st.text(max_size=30) | st.from_regex(r"[0-9]{1,4}[-/. ][0-9]{1,4}[-/. ][0-9]{2,4}[T ]?[0-9:]{0,8}", fullmatch=True)
)
def test_any_text_is_a_date_or_refused(text):
    values, issues, _ = read(text)
    assert len(issues) <= 1
    if not issues and not is_empty(text):
        assert datetime.datetime.fromisoformat(values[0])
    else:
        assert values == [""]


@given(st.lists(WHEN, min_size=1, max_size=20), st.sampled_from(["day_first", "month_first"]), st.sampled_from("/-"))
def test_a_column_with_slashes_is_read_one_way_or_refused(dates, order, mark):
    """Dates are never read in the wrong order, and are an error only if no date determines the order."""
    form = f"%d{mark}%m{mark}%Y" if order == "day_first" else f"%m{mark}%d{mark}%Y"
    written, expected = [d.strftime(form) for d in dates], [d.strftime("%Y-%m-%dT00:00:00") for d in dates]
    assert read(*written, order=order)[0] == expected
    values, issues, _ = read(*written)
    if any(d.day > 12 for d in dates) or all(d.day == d.month for d in dates):
        assert (values, issues) == (expected, [])
    else:
        assert issues == [("day and month are ambiguous", tuple(i for i, d in enumerate(dates, 2) if d.day != d.month))]
        assert not any(values)


@pytest.mark.parametrize(
    ("cell", "iso"),
    [
        ("2021-03-04", "2021-03-04T00:00:00"),
        ("2021-03-04T10:15:00Z", "2021-03-04T10:15:00+00:00"),
        ("2021-03-04 10:15+0100", "2021-03-04T10:15:00+01:00"),
        ("2021-03-04 10:15:30.123", "2021-03-04T10:15:30"),
        ("20210304", "2021-03-04T00:00:00"),
        ("4. März 2021", "2021-03-04T00:00:00"),
        ("04-DEZ-2021", "2021-12-04T00:00:00"),
        ("1/1/2021 12:05 AM", "2021-01-01T00:05:00"),
        ("13/1/2021 12:05 p.m.", "2021-01-13T12:05:00"),
    ],
)
def test_forms(cell, iso):
    assert read(cell)[0] == [iso]


@pytest.mark.parametrize(
    "cell",
    ["04.03.21", "3/4/21", "2021-13-01", "2021-02-30", "31/02/2021", "44258", "44258.5", "gestern", "2021", "03/2021",
     "2021-03-04 25:00", "2021-03-04 13:00 PM", "2021-03-04x", "4-Foo-2021", "2021-03/04", "202103041"],
)  # fmt: skip
def test_what_is_no_date(cell):
    with pytest.raises(ValueError):  # noqa: PT011 (datetime's own messages among them)
        parse_date(cell)
    assert read(cell)[1] == [("is not a known date format", (2,))]


def test_one_date_settles_the_others_and_says_so_without_a_date():
    values, issues, notes = read("03/04/2021", "25/04/2021", "", "05/05/2021")
    assert values == ["2021-04-03T00:00:00", "2021-04-25T00:00:00", "", "2021-05-05T00:00:00"]
    assert issues == []
    assert notes == ["acq_time: the day comes first in 1 ambiguous dates, as in row 3"]


def test_what_contradicts_itself():
    assert read("25/04/2021", "04/25/2021")[1] == [
        ("the day comes first here, but the month comes first in 1 other rows", (2,))
    ]
    assert read("25/04/2021", "01/02/2021", order="month_first")[1] == [("cannot be read with month_first", (2,))]
    reported = read("2021-03-04T10:15:00Z", "2021-03-04T10:15:00")[1]
    assert reported == [("has no time zone, but other rows have one", (3,))]
