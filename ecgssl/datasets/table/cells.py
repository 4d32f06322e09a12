"""Single cells of a cohort's table as what they mean; each function raises ``ValueError`` for a cell that is not clear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from ecgssl.io.metadata import OLDEST, millivolts
from ecgssl.signal.leads import canonical

NO_VALUE = frozenset({"", "na", "n/a", "nan", "null", "#n/a", "#nv", "."})
"""How R, pandas, SQL, Excel (English, German) and SAS write an empty cell, in lower case. ``-`` is not among them: beside
``+`` it means "absent"."""

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
    """Whether a cell says nothing."""
    return cell.casefold() in NO_VALUE


def is_shortened(cell: str) -> bool:
    """Whether a spreadsheet has made a rounded power of ten of a long number, so that different ones look the same."""
    return _SHORTENED.fullmatch(cell) is not None


def plain_number(cell: str) -> float:
    """A finite number with a decimal point or comma and without thousands marks; NaN for an empty cell."""
    if is_empty(cell):
        return math.nan
    text = cell.replace(",", ".")
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise ValueError("not a number")
    return float(text)


def fold(cell: str) -> float:
    """A whole number, NaN for an empty cell."""
    value = plain_number(cell)
    if not math.isnan(value) and value != int(value):
        raise ValueError("not whole")
    return value


def age(cell: str) -> float:
    """Years, also written as ``63 y``, ``63 J``, ``063Y`` or ``018M`` (DICOM) or ``90+``; NaN for an empty cell.

    Ages above 89 are not cut here.
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
    """``male``, ``female``, ``other`` or empty. Numbers mean different things in different tables and are refused."""
    word = cell.casefold()
    if word in _SEX:
        return _SEX[word]
    if is_empty(cell):
        return ""
    raise ValueError("not a sex")


def sampling_rate(cell: str) -> float:
    """Hz, with or without the unit; NaN for an empty cell."""
    text = cell[:-2].rstrip() if cell.casefold().endswith("hz") else cell
    value = plain_number(text)
    if not (math.isnan(value) or _RATES[0] <= value <= _RATES[1]):
        raise ValueError("not a sampling rate")
    return value


def units(cell: str) -> str:
    """A unit of voltage as the cell spells it, or nothing."""
    if is_empty(cell):
        return ""
    if millivolts(cell) is None:
        raise ValueError("not a voltage")
    return cell


def leads(cell: str) -> str:
    """Names of leads, joined by ``;``; ``-`` for a row of the file that is to be left out.

    Raises:
        ValueError: where none is one of the twelve, one is unknown, or one occurs twice.
    """
    if is_empty(cell):
        return ""
    names = [name.strip() for name in re.split("[;,|]", cell)]
    found = [canonical(name) for name in names]
    known = [name for name in found if name]
    strange = [n for n, lead in zip(names, found, strict=True) if not lead and n.casefold() not in _SKIPPED | _OTHERS]
    if not known or strange or len(set(known)) < len(known):
        raise ValueError("not leads")
    return ";".join(name or "-" for name in names)


def decimal_mark(cells: Iterable[str]) -> str:
    """Whether numbers are written 1.5 or 1,5, where the cells leave no doubt.

    A mark followed by other than three digits, or beside the other mark and after it, is one of decimals; ``1.234``
    alone may be either.

    Raises:
        ValueError: ``both`` where some cells prove the one and some the other, ``doubt`` where none proves anything.
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
    """A finite number whose decimal mark is known; the other mark, a blank or an apostrophe may group thousands."""
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
