"""Dates and times as hospitals write them, to ISO 8601; where day and month could be either, that is said, not guessed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ecgssl.datasets.table.cells import is_empty
from ecgssl.datasets.table.issues import Issue

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

_FORMS = (
    "Write 2021-03-04 or 2021-03-04T10:15:00 (also 04.03.2021, 4-Mar-2021, 20210304101500), with four digits of year"
)
_SAY = "Say which comes first with --dates day_first or --dates month_first (data.dates)"


@dataclass(frozen=True)
class Stamp:
    """One date as it was written.

    Args:
        first, second: numbers of which one is the day, or ``None`` where day and month are clear.
        when: date and time; with ``first`` for the day where day and month are open.
    """

    when: datetime.datetime
    first: int | None = None
    second: int | None = None

    @property
    def proves(self) -> Order | None:
        """The order that this date alone settles."""
        if self.first is None or self.second is None or max(self.first, self.second) <= 12:
            return None
        return "day_first" if self.first > 12 else "month_first"

    @property
    def open(self) -> bool:
        """Whether it is two dates at once."""
        return self.first is not None and self.proves is None and self.first != self.second

    def iso(self, order: Order | None) -> str:
        """``YYYY-MM-DDTHH:MM:SS``, with a zone where one was written."""
        if self.first is None or self.second is None:
            return self.when.isoformat(timespec="seconds")
        day, month = (self.first, self.second) if order != "month_first" else (self.second, self.first)
        return self.when.replace(month=month, day=day).isoformat(timespec="seconds")


def stamp(cell: str) -> Stamp:
    """Read one date, with or without a time.

    Raises:
        ValueError: where it is none, or its year has two digits.
    """
    found = _DATE.match(cell)
    if not found:
        raise ValueError("not a date")
    hour, minute, second, zone = _time(cell[found.end() :])
    parts = found.groupdict()
    if parts["a"]:
        a, b = int(parts["a"]), int(parts["b"])
        # dots are written with the day first, wherever they are written
        day_number, month_number = (a, b) if parts["mark"] == "." or a > 12 else (b, a)
        when = datetime.datetime(int(parts["aby"]), month_number, day_number, hour, minute, second, tzinfo=zone)
        return Stamp(when) if parts["mark"] == "." else Stamp(when, a, b)
    forms = (("y", "m", "d"), ("cy", "cm", "cd"), ("dy", "dmonth", "dd"), ("ny", "nmonth", "nd"))
    year, month, day = next([parts[name] for name in form] for form in forms if parts[form[0]])
    date = datetime.date(int(year), _month(month), int(day))
    return Stamp(datetime.datetime.combine(date, datetime.time(hour, minute, second, tzinfo=zone)))


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
    cells: Sequence[str], rows: Sequence[int], order: Order | None = None
) -> tuple[list[str], list[Issue], list[str]]:
    """A column of dates.

    Args:
        cells: as written; empty ones stay empty.
        rows: of the table, for what is said of them.
        order: of day and month in dates like 03/04/2021; by default what other dates of the column settle.

    Returns:
        ISO 8601 per cell, empty where it is not clear; what is wrong; what was assumed. No cell is shown: dates identify.
    """
    stamps: list[Stamp | None] = []
    bad: list[int] = []
    for row, cell in zip(rows, cells, strict=True):
        try:
            stamps.append(None if is_empty(cell) else stamp(cell))
        except ValueError:
            stamps.append(None)
            bad.append(row)
    issues = [Issue("acq_time", "not understood as a date", _FORMS, tuple(bad))] if bad else []
    notes: list[str] = []
    pairs = [(row, made) for row, made in zip(rows, stamps, strict=True) if made]
    proofs = {way: [row for row, made in pairs if made.proves == way] for way in ("day_first", "month_first")}
    opened = tuple(row for row, made in pairs if made.open)
    settled = [way for way, proving in proofs.items() if proving]
    if order is not None and any(way != order for way in settled):
        against = tuple(row for way in settled if way != order for row in proofs[way])
        issues.append(Issue("acq_time", f"cannot be read with {order}", "Leave out --dates, or mend them", against))
    elif order is None and len(settled) == 2:
        what = f"the day comes first here, and the month in {len(proofs['month_first'])} other rows"
        issues.append(Issue("acq_time", what, _FORMS, tuple(proofs["day_first"])))
    elif order is None and opened and not settled:
        issues.append(Issue("acq_time", "day and month could be either", _SAY, opened))
    elif order is None and settled:
        order = "day_first" if settled == ["day_first"] else "month_first"
        if opened:
            words = order.replace("_", " comes ")
            notes.append(f"acq_time: the {words} in {len(opened)} dates, as in row {proofs[order][0]}, which is clear")
    if len({made.when.tzinfo is None for _, made in pairs}) > 1:
        naive = tuple(row for row, made in pairs if made.when.tzinfo is None)
        issues.append(
            Issue("acq_time", "without a time zone, which other rows have", "Write all with or without", naive)
        )
    if issues:
        return ["" for _ in cells], issues, notes
    return [made.iso(order) if made else "" for made in stamps], issues, notes
