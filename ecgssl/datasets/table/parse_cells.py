"""Parsers for table cells: numbers, ages, sexes, units, leads and dates.

The parsers of single cells raise ``ValueError`` if a cell is invalid.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ecgssl.datasets.table.read_table import Issue
from ecgssl.io.metadata import OLDEST, millivolts
from ecgssl.signal.leads import named_lead

NO_VALUE = frozenset({"", "na", "n/a", "nan", "null", "#n/a", "#nv", "."})
"""Cells that mean "missing" in exports of R, pandas, SQL, Excel (English, German) and SAS, in lower case.

``-`` is not included, because many columns use ``+`` and ``-`` for "present" and "absent".
"""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(y|yr|yrs|year|years|j|jahre)?\.?", re.IGNORECASE)
_DICOM_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_OLD = re.compile(r"(>\s*89|>=\s*90|90\s*\+|≥\s*90)", re.IGNORECASE)
_SEX = {
    "": "",
    **dict.fromkeys(("m", "male", "man", "männlich", "maennlich", "mann"), "male"),
    **dict.fromkeys(("f", "female", "woman", "w", "weiblich", "frau"), "female"),
    **dict.fromkeys(("other", "o", "d", "divers", "x", "diverse", "non-binary"), "other"),
    **dict.fromkeys(("unknown", "u", "unbekannt"), ""),
}
_RATES = (25.0, 50000.0)
_SKIPPED = {"", "-"}
_OTHERS = {"x", "y", "z", "vx", "vy", "vz"}
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+?\d+", re.IGNORECASE)


def is_empty(cell: str) -> bool:
    """Return whether a cell is empty or contains a code for a missing value such as ``NA``."""
    return cell.casefold() in NO_VALUE


def is_shortened(cell: str) -> bool:
    """Return whether a cell is a number in scientific notation such as ``1.23E+11``.

    Spreadsheets round long ids to this notation, so that different ids look equal.
    """
    return _SHORTENED.fullmatch(cell) is not None


def plain_number(cell: str) -> float:
    """Parse a finite number with a decimal point or comma and without thousands separators; NaN for an empty cell."""
    if is_empty(cell):
        return math.nan
    text = cell.replace(",", ".")
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise ValueError("not a number")
    return float(text)


def fold(cell: str) -> float:
    """Parse the fold number of a recording, a whole number; NaN for an empty cell."""
    value = plain_number(cell)
    if not math.isnan(value) and value != int(value):
        raise ValueError("not a whole number")
    return value


def age(cell: str) -> float:
    """Parse an age, and return it in years; NaN for an empty cell.

    Accepted forms are for example ``63``, ``63 y``, ``63 J``, ``063Y`` and ``018M`` (DICOM). ``90+`` and ``>89`` are
    returned as 90. Numbers from 90 to 130 are returned unchanged; larger ones are invalid.
    """
    if is_empty(cell):
        return math.nan
    if _OLD.fullmatch(cell):
        return OLDEST
    if dicom := _DICOM_AGE.fullmatch(cell):
        years = float(dicom[1]) * _YEARS[dicom[2]]
    elif plain := _AGE.fullmatch(cell):
        years = float(plain[1].replace(",", "."))
    else:
        raise ValueError("not an age")
    if years > 130:
        raise ValueError("not an age")
    return years


def sex(cell: str) -> str:
    """Parse a sex, and return ``male``, ``female``, ``other``, or an empty string if unknown.

    Numbers are invalid, because their meaning differs between tables.
    """
    word = cell.casefold()
    if word in _SEX:
        return _SEX[word]
    if is_empty(cell):
        return ""
    raise ValueError("not a sex")


def sampling_rate(cell: str) -> float:
    """Parse a sampling rate such as ``500`` or ``500 Hz``, and return it in Hz; NaN for an empty cell.

    Rates below 25 Hz or above 50,000 Hz are invalid.
    """
    text = cell[:-2].rstrip() if cell.casefold().endswith("hz") else cell
    value = plain_number(text)
    if not (math.isnan(value) or _RATES[0] <= value <= _RATES[1]):
        raise ValueError("not a sampling rate")
    return value


def units(cell: str) -> str:
    """Check that a cell contains a unit of voltage, and return it unchanged; an empty string for an empty cell."""
    if is_empty(cell):
        return ""
    if millivolts(cell) is None:
        raise ValueError("not a voltage")
    return cell


def leads(cell: str) -> str:
    """Parse lead names separated by ``;``, ``,`` or ``|``, and join them by ``;``; an empty string for an empty cell.

    ``-`` or nothing marks a signal that is not used, and becomes ``-``. Names of Frank leads such as ``x`` are accepted.

    Raises:
        ValueError: the list contains an unknown name, a lead twice, or none of the twelve leads.
    """
    if is_empty(cell):
        return ""
    names = [name.strip() for name in re.split("[;,|]", cell)]
    found = [named.lead if (named := named_lead(name)) else None for name in names]
    known = [name for name in found if name]
    strange = [n for n, lead in zip(names, found, strict=True) if not lead and n.casefold() not in _SKIPPED | _OTHERS]
    if not known or strange or len(set(known)) < len(known):
        raise ValueError("not leads")
    return ";".join(name or "-" for name in names)


def decimal_mark(cells: Iterable[str]) -> str:
    """Detect the decimal separator of a column, ``.`` or ``,``, from its cells.

    For example, ``1.5`` and ``1,234.5`` show that it is a point. ``1.234`` is ambiguous, because the point may separate
    thousands. If no cell contains a point or comma, ``.`` is returned.

    Raises:
        ValueError: with the text ``both`` if cells use different decimal separators, or ``doubt`` if all cells that contain
            a point or comma are ambiguous.
    """
    proven: set[str] = set()
    doubtful = False
    for cell in cells:
        points, commas = cell.count("."), cell.count(",")
        mark, other = (".", ",") if cell.rfind(".") > cell.rfind(",") else (",", ".")
        if not points and not commas:
            continue
        if points and commas:
            proven.add(mark)
        elif points + commas > 1:
            proven.add(other)
        elif re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", cell):
            doubtful = True
        else:
            proven.add(mark)
    if len(proven) > 1:
        raise ValueError("both")
    if doubtful and not proven:
        raise ValueError("doubt")
    return proven.pop() if proven else "."


def number(cell: str, mark: str) -> float:
    """Parse a finite number whose decimal separator is ``mark`` (``.`` or ``,``).

    Thousands may be separated by the other one of these two characters, by a blank or by an apostrophe.
    """
    grouping = "," if mark == "." else "."
    whole, point, rest = cell.partition(mark)
    if re.search(f"[{grouping}'’ \u00a0\u202f]", whole):
        if not re.fullmatch(rf"[+-]?\d{{1,3}}([{grouping}'’ \u00a0\u202f]\d{{3}})+", whole):
            raise ValueError("not a number")
        whole = re.sub(r"[^\d+-]", "", whole)
    text = whole + ("." if point else "") + rest
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise ValueError("not a number")
    return float(text)


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
    cells: Sequence[str], rows: Sequence[int], order: Order | None = None
) -> tuple[list[str], list[Issue], list[str]]:
    """Convert a column of dates to ISO 8601.

    Args:
        cells: dates as written in the table; empty cells stay empty.
        rows: row number of each cell, for messages.
        order: order of day and month in dates such as 03/04/2021. By default, it is detected from dates of the column
            that are valid in one order only, such as 25/04/2021.

    Returns:
        A list of ISO 8601 dates (all empty if there are errors), the errors, and notes on assumptions. Error messages
        show no cells, because dates can identify a person.
    """
    stamps: list[ParsedDate | None] = []
    bad: list[int] = []
    for row, cell in zip(rows, cells, strict=True):
        try:
            stamps.append(None if is_empty(cell) else parse_date(cell))
        except ValueError:
            stamps.append(None)
            bad.append(row)
    issues = [Issue("acq_time", "is not a known date format", _FORMS, tuple(bad))] if bad else []
    notes: list[str] = []
    pairs = [(row, made) for row, made in zip(rows, stamps, strict=True) if made]
    proofs = {way: [row for row, made in pairs if made.proves == way] for way in ("day_first", "month_first")}
    opened = tuple(row for row, made in pairs if made.ambiguous)
    settled = [way for way, proving in proofs.items() if proving]
    if order is not None and any(way != order for way in settled):
        against = tuple(row for way in settled if way != order for row in proofs[way])
        issues.append(
            Issue("acq_time", f"cannot be read with {order}", "Remove --dates, or correct these dates", against)
        )
    elif order is None and len(settled) == 2:
        what = f"the day comes first here, but the month comes first in {len(proofs['month_first'])} other rows"
        issues.append(Issue("acq_time", what, _FORMS, tuple(proofs["day_first"])))
    elif order is None and opened and not settled:
        issues.append(Issue("acq_time", "day and month are ambiguous", _STATE_ORDER, opened))
    elif order is None and settled:
        order = "day_first" if settled == ["day_first"] else "month_first"
        if opened:
            words = order.replace("_", " comes ")
            notes.append(f"acq_time: the {words} in {len(opened)} ambiguous dates, as in row {proofs[order][0]}")
    if len({made.when.tzinfo is None for _, made in pairs}) > 1:
        naive = tuple(row for row, made in pairs if made.when.tzinfo is None)
        issues.append(
            Issue("acq_time", "has no time zone, but other rows have one", "Write all dates with or without one", naive)
        )
    if issues:
        return ["" for _ in cells], issues, notes
    return [made.iso(order) if made else "" for made in stamps], issues, notes
