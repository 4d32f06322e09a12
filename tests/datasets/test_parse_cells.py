"""Parsing of table cells: accepted notations, and errors for ambiguous cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecgssl.datasets.table import parse_cells as cells
from ecgssl.signal.leads import LEADS, canonical

TEXT = st.text(max_size=20)
PARSERS = (cells.fold, cells.age, cells.sex, cells.sampling_rate, cells.units, cells.leads, cells.plain_number)


@given(TEXT)
@example("١٢")
@example("1e400")
@example("²")
def test_any_text_is_understood_or_refused(text):
    for parse in PARSERS:
        try:
            value = parse(text)
        except ValueError:
            continue
        assert isinstance(value, str) or not math.isinf(value)


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "NaN", "NULL", "#N/A", "."])
def test_empty_however_it_is_written(cell):
    assert math.isnan(cells.age(cell))
    assert math.isnan(cells.sampling_rate(cell))
    assert cells.sex(cell) == cells.units(cell) == cells.leads(cell) == ""


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        ("63", 63), ("63.5", 63.5), ("63,5", 63.5), ("63 y", 63), ("63 Jahre", 63), ("063Y", 63), ("018M", 1.5),
        ("010D", 10 / 365.25), ("90+", 90), (">89", 90), ("0", 0), ("104", 104),
    ],
)  # fmt: skip
def test_ages(cell, years):
    assert cells.age(cell) == pytest.approx(years)


@pytest.mark.parametrize("cell", ["-1", "131", "old", "63 kg", "1963-03-01", "inf", "6 3", "01M"])
def test_no_ages(cell):
    with pytest.raises(ValueError, match="age"):
        cells.age(cell)


def test_sexes_in_words_only():
    """ISO 5218 uses 1 for male, PTB-XL 1 for female: numbers are ambiguous."""
    assert [cells.sex(c) for c in ("M", "männlich", "W", "Female", "divers", "u")] == [
        "male", "male", "female", "female", "other", "",
    ]  # fmt: skip
    for cell in ("1", "0", "2", "man?"):
        with pytest.raises(ValueError, match="sex"):
            cells.sex(cell)


def test_rates_and_units():
    assert [cells.sampling_rate(c) for c in ("500", "500 Hz", "257,0", "1000hz")] == [500, 500, 257, 1000]
    for cell in ("0.5", "0", "-500", "500000", "fast"):
        with pytest.raises(ValueError, match=r"number|rate"):
            cells.sampling_rate(cell)
    assert [cells.units(c) for c in ("mV", "uV", "µV")] == ["mV", "uV", "µV"]
    for cell in ("bpm", "m", "5"):
        with pytest.raises(ValueError, match="voltage"):
            cells.units(cell)


@given(st.permutations(LEADS), st.integers(1, 12), st.sampled_from([";", ",", "|", " ; "]))
def test_leads_keep_their_order(order, count, mark):
    names = list(order[:count])
    read = cells.leads(mark.join(names)).split(";")
    assert [canonical(name) for name in read] == names


@pytest.mark.parametrize("cell", ["I;I", "V7", "I;aVX", "vx;vy", "I II", "lead"])
def test_no_leads(cell):
    with pytest.raises(ValueError, match="leads"):
        cells.leads(cell)


def test_rows_of_a_file_that_are_left_out():
    assert cells.leads("I;-;II;vx") == "I;-;II;vx"
    assert cells.leads("I;;II") == "I;-;II"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.sampled_from([".", ","]), st.sampled_from(["", "'"]))
def test_numbers_survive_being_written_in_either_way(values, mark, grouping):
    """A fixed number of decimals other than three determines the decimal mark of a column."""
    other = "," if mark == "." else "."
    written = [f"{value:,.2f}".translate({ord(","): grouping or other, ord("."): mark}) for value in values]
    found = cells.decimal_mark(text.replace("'", "") for text in written)
    assert found == mark
    np.testing.assert_allclose([cells.number(text, mark) for text in written], [round(v, 2) for v in values], atol=1e-9)


@pytest.mark.parametrize(
    ("column", "mark"),
    [
        (["55", "60"], "."),
        (["55", "60,5"], ","),
        (["0.123"], "."),
        (["1234.567"], "."),
        (["1.234", "60,5"], ","),
        (["1.234,5"], ","),
        (["1,234.5"], "."),
        (["1.234.567"], ","),
        (["1,234", "12.5"], "."),
        (["-0,5"], ","),
    ],
)
def test_decimal_marks_that_are_clear(column, mark):
    assert cells.decimal_mark(column) == mark


@pytest.mark.parametrize(("column", "why"), [(["1.234"], "doubt"), (["1,234", "7"], "doubt"), (["1.5", "1,5"], "both")])
def test_decimal_marks_that_are_not(column, why):
    with pytest.raises(ValueError, match=why):
        cells.decimal_mark(column)


@pytest.mark.parametrize(
    "cell", ["<5", "5-6", "1.2.3", "12,34.5", "inf", "nan", "1 2", "--1", "", "1e999", "0x10", "1_000"]
)
def test_no_numbers(cell):
    with pytest.raises(ValueError, match="number"):
        cells.number(cell, ".")


def test_numbers_that_a_spreadsheet_has_rounded():
    for cell in ("1.23457E+11", "1,2E+12", "5E15"):
        assert cells.is_shortened(cell)
    for cell in ("123457", "E11", "1E", "A1E+5", "1.5"):
        assert not cells.is_shortened(cell)
