"""Columns with two words for a finding that is present or absent, such as ja and nein."""

from __future__ import annotations

from collections.abc import Iterable

from ecgssl.datasets.table.parse_cells import is_empty
from ecgssl.datasets.table.read_table import value_option

PAIRS = (
    ("ja", "nein"),
    ("j", "n"),
    ("yes", "no"),
    ("y", "n"),
    ("positiv", "negativ"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("wahr", "falsch"),
    ("vorhanden", "nicht vorhanden"),
    ("present", "absent"),
    ("oui", "non"),
    ("x", "-"),
    ("+", "-"),
)
"""Words for present and absent, in lower case."""
_UNKNOWN = ("unbekannt", "unknown", "k.a.", "n.b.", "nicht bekannt", "keine angabe", "not known", "?")
_UNCERTAIN = ("u", "-1")


def target_options(column: str, cells: Iterable[str]) -> str | None:
    """Return the options that make a column with two words a binary target; ``None`` for other columns.

    No word is converted without these options, because ecgssl does not guess the meaning of a cell.

    Args:
        column: name of the column.
        cells: cells of the column. At least one must be a word of a pair in ``PAIRS``; others may be the opposite word,
            empty, uncertain, or a word for unknown.
    """
    spellings: dict[str, str] = {}
    for cell in cells:
        if not is_empty(cell) and cell.casefold() not in _UNCERTAIN:
            # the meaning of a cell does not depend on its case, so one spelling is enough
            spellings.setdefault(cell.casefold(), cell)
    unknown = [word for word in spellings if word in _UNKNOWN]
    words = set(spellings) - set(unknown)
    for present, absent in PAIRS:
        if words and words <= {present, absent} and not (words == {"-"} or words == {"n"}):
            meanings = [(present, "1"), (absent, "0"), *((word, "") for word in unknown)]
            return " ".join(value_option(column, spellings[w], m) for w, m in meanings if w in spellings)
    return None
