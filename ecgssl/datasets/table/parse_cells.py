"""Parsers for table cells: numbers, ages, sexes, units and leads.

The parsers of single cells raise ``ValueError`` if a cell is invalid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

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
