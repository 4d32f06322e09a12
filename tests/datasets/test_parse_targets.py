"""Conversion of columns to targets: declared kinds, unknown cells, and errors by row."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.config import Target
from ecgssl.datasets.table.parse_targets import read_target

NAN = math.nan


def read(cells, name="t", **declared):
    rows = range(2, 2 + len(cells))
    return read_target(name, Target(**declared), pd.Series(cells, dtype=object), rows)


def values(cells, **declared):
    made = read(cells, **declared)
    assert made.issues == []
    return {name: column.tolist() for name, column in made.values.items()}


def problems_of(cells, **declared):
    return [(issue.what, issue.rows, issue.cells) for issue in read(cells, **declared).issues]


def test_binary_cells():
    cells = ["1", "0", "", "U", "-1", "1.0", "0.0", "true", "FALSE", "NA"]
    np.testing.assert_equal(values(cells), {"t": [1, 0, NAN, NAN, NAN, 1, 0, 1, 0, NAN]})
    assert read(cells).notes == ["target t: 2 uncertain cells count as unknown"]
    assert read(["1", "U"]).notes == ["target t: 1 uncertain cell counts as unknown"]
    np.testing.assert_equal(values(["U", "-1", ""], uncertain="positive"), {"t": [1, 1, NAN]})
    np.testing.assert_equal(values(["U", "0", ""], uncertain="negative"), {"t": [0, 0, NAN]})


def test_binary_cells_in_words_of_ones_own():
    """Declared cells replace 1 and 0, for example in a column coded 2 = yes, 1 = no."""
    cells = ["Ja", "nein", "k.A.", "", "u"]
    np.testing.assert_equal(
        values(cells, positive=["ja"], negative=["nein"], unknown=["k.A."]), {"t": [1, 0, NAN, NAN, NAN]}
    )
    np.testing.assert_equal(values(["2", "1"], positive=2, negative=1), {"t": [1, 0]})
    assert problems_of(["2", "1", "0"], positive=[2], negative=[1]) == [
        ("is neither a positive nor a negative cell", (4,), ("0",))
    ]
    np.testing.assert_equal(values(["u", "-1"], positive=["u"], negative=["-1"]), {"t": [1, 0]})


def test_multiclass_codes_follow_the_classes():
    classes = {"SR": ["Sinusrhythmus", 1], "AF": ["VHF"], "other": None}
    made = read(["vhf", "1", "OTHER", "", "U", "sr"], kind="multiclass", classes=classes)
    np.testing.assert_array_equal(made.values["t"], [1, 0, 2, NAN, NAN, 0])
    assert list(made.kinds["t"].classes or {}) == ["SR", "AF", "other"]
    assert problems_of(["SR", "flutter"], kind="multiclass", classes=classes) == [
        ("is not one of its classes", (3,), ("flutter",))
    ]


def test_multilabel_gives_a_column_per_class():
    made = read(
        ["AF;LBBB", "none", "", "AF?", "LSB", "U", "0"],
        "dx",
        kind="multilabel",
        classes={"AF": [], "LBBB": ["LSB"]},
        uncertain="positive",
    )
    assert list(made.values) == ["dx:AF", "dx:LBBB"]
    np.testing.assert_array_equal(made.values["dx:AF"], [1, 0, NAN, 1, 0, NAN, 0])
    np.testing.assert_array_equal(made.values["dx:LBBB"], [1, 0, NAN, 0, 1, NAN, 0])
    assert made.notes == ["target dx: 2 uncertain cells count as positive"]
    assert {kind.kind for kind in made.kinds.values()} == {"binary"}
    np.testing.assert_array_equal(read(["A?"], kind="multilabel", classes=["A"]).values["t:A"], [NAN])


def test_multilabel_cells_with_a_strange_label_are_unknown_as_a_whole():
    made = read(["AF;XX", "AF"], kind="multilabel", classes=["AF", "LBBB"])
    np.testing.assert_array_equal(made.values["t:AF"], [NAN, 1])
    assert [(issue.rows, issue.cells) for issue in made.issues] == [((2,), ("AF;XX",))]
    assert problems_of(["AF,LBBB"], kind="multilabel", classes=["AF", "LBBB"])
    np.testing.assert_equal(
        values(["A,B"], kind="multilabel", classes=["A", "B"], separator=","), {"t:A": [1], "t:B": [1]}
    )


def test_numbers_with_unit_comma_and_range():
    cells = ["55,5 %", "60", "", "U", "k.A.", "NA"]
    made = values(cells, kind="regression", unit="%", range=(5, 90), unknown=["k.A."])
    np.testing.assert_equal(made, {"t": [55.5, 60, NAN, NAN, NAN, NAN]})
    assert problems_of(["55", "-1", "900", "<5"], kind="regression", range=(5, 90), unit="%") == [
        ("is not a number", (5,), ("<5",)),
        ("is outside the plausible range 5 to 90 %", (3, 4), ("-1", "900")),
    ]
    np.testing.assert_equal(values(["-1"], kind="regression"), {"t": [-1]})


def test_cells_that_differ_after_a_nul_are_two():
    assert [(rows, cells) for _, rows, cells in problems_of(["1", "1\x00", "0"])] == [((3,), ("1\x00",))]
    np.testing.assert_equal(read(["1", "1\x00", "0"]).values["t"], [1, math.nan, 0])


def test_decimals_in_doubt_are_refused_until_they_are_declared():
    assert problems_of(["1.234", "7"], kind="regression") == [("1.234 could mean 1234", (2,), ())]
    assert [what for what, _, _ in problems_of(["1.5", "1,5"], kind="regression")] == [
        "some decimals have a point and some a comma"
    ]
    np.testing.assert_equal(values(["1.234", "7"], kind="regression", decimal=","), {"t": [1234, 7]})
    np.testing.assert_equal(values(["1.234", "7"], kind="regression", decimal="."), {"t": [1.234, 7]})


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"kind": "multiclass", "classes": ["A", "B"]},
        {"kind": "multilabel", "classes": ["A", "B"]},
        {"kind": "regression"},
    ],
)
@given(
    cells=st.lists(
        st.sampled_from(["1", "0", "A", "B;A", "", "U", "NA", "5,5", "?"]) | st.text(max_size=6), max_size=12
    )
)
def test_every_cell_is_read_unknown_or_told(declared, cells):
    """Empty and invalid cells are unknown in every kind, and all other values are valid numbers."""
    made = read(cells, **declared)
    strange = {row for issue in made.issues for row in issue.rows}
    for column in made.values.values():
        assert column.shape == (len(cells),)
        for row, (cell, value) in enumerate(zip(cells, column, strict=True), 2):
            if cell == "" or row in strange:
                assert math.isnan(value)
            elif declared.get("kind") != "regression":
                assert math.isnan(value) or value in (0.0, 1.0)
