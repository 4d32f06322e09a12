"""Dates of acquisition in tables: notations, order of day and month, conversion to ISO 8601."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ecgssl.datasets.table.parse_cells import is_empty
from ecgssl.datasets.table.read_table import Issue

Order = Literal["day_first", "month_first"]

_DATE = re.compile(
    r"""(?:
    (?P<y>\d{4})(?P<ymark>[-/.])(?P<m>\d{1,2})(?P=ymark)(?P<d>\d{1,2})(?=$|[T\s,])
  | (?P<cy>\d{4})(?P<cm>\d{2})(?P<cd>\d{2})(?=$|T|\s|\d{4})
  | (?P<a>\d{1,2})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<aby>\d{4})(?=$|[T\s,])
  | (?P<dd>\d{1,2})[-.\s]+(?P<dmonth>[^\W\d_]+)[-.,\s]+(?P<dy>\d{4})(?=$|[\s,])
  | (?P<nmonth>[^\W\d_]+)[.\s]+(?P<nd>\d{1,2}),?\s+(?P<ny>\d{4})(?=$|[\s,])
    )""",
    re.VERBOSE,
)
_TIME = re.compile(
    r"""[T\s,]*(?P<h>\d{1,2}):?(?P<min>\d{2})(?::?(?P<s>\d{2})(?:[.,]\d+)?)?
    (?:\s*(?P<half>[ap])\.?m\.?)?(?:\s*uhr)?\s*(?P<zone>z|[+-]\d{2}:?\d{2})?""",
    re.VERBOSE | re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar mär mae mrz", "apr", "may mai", "jun", "jul", "aug", "sep", "oct okt", "nov", "dec dez")
_MONTH = {short: number for number, shorts in enumerate(_MONTHS, 1) for short in shorts.split()}

_FORMS = "Write 2021-03-04 or 2021-03-04T10:15:00 (also 04.03.2021, 4-Mar-2021, 20210304101500), with a four-digit year"
_STATE_ORDER = "Set the order with --dates day_first or --dates month_first (sets.NAME.dates)"


@dataclass(frozen=True)
class ParsedDate:
    """A parsed date.

    Args:
        when: date and time. If both orders of day and month are valid, the first number is taken as the month.
        first, second: the first two numbers of a date with slashes or hyphens such as 03/04/2021, which may be day and
            month in either order; ``None`` for dates in other notations.
    """

    when: datetime.datetime
    first: int | None = None
    second: int | None = None

    @property
    def proves(self) -> Order | None:
        """Order of day and month if this date allows only one, otherwise ``None``."""
        if self.first is None or self.second is None or max(self.first, self.second) <= 12:
            return None
        return "day_first" if self.first > 12 else "month_first"

    @property
    def ambiguous(self) -> bool:
        """Whether both orders of day and month are valid and give different dates."""
        return self.first is not None and self.proves is None and self.first != self.second

    def iso(self, order: Order | None) -> str:
        """Return the date as ``YYYY-MM-DDTHH:MM:SS``, followed by the time zone if the cell contains one.

        Args:
            order: order of ``first`` and ``second``; ``None`` means day first.
        """
        if self.first is None or self.second is None:
            return self.when.isoformat(timespec="seconds")
        day, month = (self.first, self.second) if order != "month_first" else (self.second, self.first)
        return self.when.replace(month=month, day=day).isoformat(timespec="seconds")


def parse_date(cell: str) -> ParsedDate:
    """Parse a date with an optional time.

    Raises:
        ValueError: the cell is not a date, or its year has only two digits.
    """
    found = _DATE.match(cell)
    if not found:
        raise ValueError("not a date")
    hour, minute, second, zone = _time(cell[found.end() :])
    parts = found.groupdict()
    if parts["a"]:
        a, b = int(parts["a"]), int(parts["b"])
        # in dates with dots, such as 04.03.2021, the day comes first by convention
        day_number, month_number = (a, b) if parts["mark"] == "." or a > 12 else (b, a)
        when = datetime.datetime(int(parts["aby"]), month_number, day_number, hour, minute, second, tzinfo=zone)
        return ParsedDate(when) if parts["mark"] == "." else ParsedDate(when, a, b)
    forms = (("y", "m", "d"), ("cy", "cm", "cd"), ("dy", "dmonth", "dd"), ("ny", "nmonth", "nd"))
    year, month, day = next([parts[name] for name in form] for form in forms if parts[form[0]])
    date = datetime.date(int(year), _month(month), int(day))
    return ParsedDate(datetime.datetime.combine(date, datetime.time(hour, minute, second, tzinfo=zone)))


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    if text.casefold()[:3] not in _MONTH:
        raise ValueError("not a month")
    return _MONTH[text.casefold()[:3]]


def _time(text: str) -> tuple[int, int, int, datetime.timezone | None]:
    if not text.strip():
        return 0, 0, 0, None
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise ValueError("not a time")
    hour = int(found["h"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("not an hour")
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    zone = None
    if found["zone"]:
        text = found["zone"].replace(":", "").lower()
        minutes = 0 if text == "z" else int(text[:3]) * 60 + int(text[0] + text[3:])
        zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    return hour, int(found["min"]), int(found["s"] or 0), zone


def read_dates(
    cells: Sequence[str], rows: Sequence[int], order: Order | None = None, column: str = "acq_time"
) -> tuple[list[str], list[Issue], list[str]]:
    """Convert a column of dates to ISO 8601.

    Args:
        cells: dates as written in the table; empty cells stay empty.
        rows: row number of each cell, for messages.
        order: order of day and month in dates such as 03/04/2021. By default, it is detected from dates of the column
            that are valid in one order only, such as 25/04/2021.
        column: name of the column, for messages.

    Returns:
        A list of ISO 8601 dates, the errors, and notes on assumptions. A cell that is not a date is empty; all are empty if
        the order of day and month or the time zones are unclear. Error messages show no cells, because dates can identify
        a person.
    """
    stamps: list[ParsedDate | None] = []
    bad: list[int] = []
    for row, cell in zip(rows, cells, strict=True):
        try:
            stamps.append(None if is_empty(cell) else parse_date(cell))
        except ValueError:
            stamps.append(None)
            bad.append(row)
    issues = [Issue(column, "is not a known date format", _FORMS, tuple(bad))] if bad else []
    notes: list[str] = []
    pairs = [(row, made) for row, made in zip(rows, stamps, strict=True) if made]
    proofs = {way: [row for row, made in pairs if made.proves == way] for way in ("day_first", "month_first")}
    opened = tuple(row for row, made in pairs if made.ambiguous)
    settled = [way for way, proving in proofs.items() if proving]
    if order is not None and any(way != order for way in settled):
        against = tuple(row for way in settled if way != order for row in proofs[way])
        issues.append(Issue(column, f"cannot be read with {order}", "Remove --dates, or correct these dates", against))
    elif order is None and len(settled) == 2:
        what = f"the day comes first here, but the month comes first in {len(proofs['month_first'])} other rows"
        issues.append(Issue(column, what, _FORMS, tuple(proofs["day_first"])))
    elif order is None and opened and not settled:
        issues.append(Issue(column, "day and month are ambiguous", _STATE_ORDER, opened))
    elif order is None and settled:
        order = "day_first" if settled == ["day_first"] else "month_first"
        if opened:
            words = order.replace("_", " comes ")
            notes.append(f"{column}: the {words} in {len(opened)} ambiguous dates, as in row {proofs[order][0]}")
    if len({made.when.tzinfo is None for _, made in pairs}) > 1:
        naive = tuple(row for row, made in pairs if made.when.tzinfo is None)
        issues.append(
            Issue(column, "has no time zone, but other rows have one", "Write all dates with or without one", naive)
        )
    if len(issues) > bool(bad):
        return ["" for _ in cells], issues, notes
    return [made.iso(order) if made else "" for made in stamps], issues, notes
