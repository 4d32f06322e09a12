"""Reading of tables: encodings, separators and Parquet give the same cells with the same row numbers."""

from __future__ import annotations

import csv
import datetime
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.datasets.table.read_table import read_table
from ecgssl.errors import InputError

ROWS = [["Straße", "Größe"], ["a;b", '5" tape'], ["x\ny", "1,5"], ["é", ""]]
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def text_of(rows, delimiter, ends="\r\n"):
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, lineterminator=ends, quoting=csv.QUOTE_ALL).writerows(rows)
    return stream.getvalue()


def write(tmp_path, data, name="m.csv"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def refusal(path, encoding=None):
    with pytest.raises(InputError) as caught:
        read_table(path, encoding)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
def test_the_same_cells_in_every_encoding_and_form(tmp_path, delimiter, encoding, ends):
    sheet = read_table(write(tmp_path, text_of(ROWS, delimiter, ends).encode(encoding)))
    assert list(sheet.cells.columns) == ROWS[0]
    assert sheet.cells.to_numpy().tolist() == ROWS[1:]
    assert (sheet.rows, sheet.issues) == ([2, 3, 4], [])
    assert [("Windows-1252" in note, "line 1" in note) for note in sheet.notes] == [(True, True)] * (
        encoding == "cp1252"
    )


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_any_cells_that_csv_can_hold(tmp_path_factory, pairs, delimiter):
    path = tmp_path_factory.mktemp("sheet") / "m.csv"
    path.write_bytes(text_of([("one", "two"), *pairs], delimiter).encode())
    sheet = read_table(path)
    blanks = " \t\ufeff\u200b\u200c\u200d\u2060"
    kept = [(row, pair) for row, pair in enumerate(pairs, 2) if any(c.strip().strip(blanks).strip() for c in pair)]
    assert sheet.rows == [row for row, _ in kept]
    assert [
        c.strip().strip(blanks).strip() for _, pair in kept for c in pair
    ] == sheet.cells.to_numpy().ravel().tolist()


def test_a_stated_encoding_wins(tmp_path):
    path = write(tmp_path, "a,b\nü,1\n".encode("cp850"))
    assert read_table(path, "cp850").cells["a"][0] == "ü"
    assert "row" not in refusal(path, "ascii")
    assert "is not a known encoding" in refusal(path, "klingon")
    assert read_table(write(tmp_path, "a,b\nü,1\n".encode("utf-16-le")), "utf-16-le").cells["a"][0] == "ü"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel workbook"),
        (b"\x1f\x8brest", "compressed"),
        ("a,b\n1,2\n".encode("utf-16-le"), "zero bytes"),
        (b"\xff\xfea", "is not valid UTF-16"),
        (b"a,b\n1,\x81\n", "neither UTF-8 nor Windows-1252 (first in line 2)"),
        (b'a,b\n"1,2\n', "is not a valid CSV (line"),
        (b'a,b\n"1"x,2\n', "is not a valid CSV (line 2"),
        (b"", "is empty"),
        (b"PAR1garbage", "is not a valid Parquet file"),
    ],
)
def test_what_is_no_table(tmp_path, data, message):
    assert message in refusal(write(tmp_path, data))


def test_absent_or_a_folder(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.csv")
    assert "cannot be read" in refusal(tmp_path)


def test_what_spreadsheets_add(tmp_path):
    """Separator line of Excel, columns without name, empty lines, and blanks and zero-width characters around cells."""
    data = 'sep=;\r\nid; name ;;\r\n 1 ;\u200bA\u00a0;;\r\n;;;\r\n\r\n2;B;;x\r\n3;C\r\n4;D;;;;\r\n"5";E;;;z\r\n'
    sheet = read_table(write(tmp_path, data.encode()))
    assert list(sheet.cells.columns) == ["id", "name"]
    assert sheet.cells.to_numpy().tolist() == [["1", "A"], ["2", "B"], ["4", "D"]]
    assert sheet.rows == [2, 5, 7]
    assert sheet.blanks == {"id": [2], "name": [2]}
    assert [(issue.column, issue.rows) for issue in sheet.issues] == [("row length", (6, 8))]
    assert sheet.notes == ["a column without a name has 1 cells; it is not used"]


def test_a_column_named_twice_and_no_rows(tmp_path):
    sheet = read_table(write(tmp_path, b"a,a,b\n1,2,3\n"))
    assert [issue.column for issue in sheet.issues] == ["a"]
    assert sheet.cells.to_numpy().tolist() == [["1", "3"]]
    assert [issue.column for issue in read_table(write(tmp_path, b"a,b\n")).issues] == ["rows"]


def test_parquet_cells_are_what_a_csv_would_hold(tmp_path):
    table = pd.DataFrame(
        {
            "patient": [17.0, None],
            "name": ["x", None],
            "flag": [True, False],
            "when": [datetime.datetime(2021, 3, 4, 10), None],
            "labels": [["AF", "LBBB"], []],
            "ef": [55.5, float("nan")],
        }
    )
    table.to_parquet(tmp_path / "m.parquet")
    sheet = read_table(tmp_path / "m.parquet")
    assert sheet.cells.to_numpy().tolist() == [
        ["17", "x", "1", "2021-03-04T10:00:00", "AF;LBBB", "55.5"],
        ["", "", "0", "", "", ""],
    ]
    assert sheet.rows == [2, 3]
