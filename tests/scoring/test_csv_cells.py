"""CSV cells that a spreadsheet program would evaluate are marked as text, and numbers stay numbers."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from ecgssl.csv_cells import original_cell, original_frame, safe_cell, safe_frame
from ecgssl.evaluation.predictions import prediction_table, read_predictions, write_predictions
from ecgssl.scoring.score_file import Csv

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x.example","ECG")']


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_marked_and_restored(text):
    assert safe_cell(text) == "'" + text
    assert original_cell(safe_cell(text)) == text
    assert original_cell(safe_cell(safe_cell(text))) == safe_cell(text)


@pytest.mark.parametrize("value", ["-5", "+1e-3", "ecg-1", "a=b", "'quoted'", "", -5, -0.5, None])
def test_other_cells_are_unchanged(value):
    assert safe_cell(value) == value
    assert original_cell(value) == value


def test_tables_keep_their_numbers():
    table = pd.DataFrame({"=name": ["=1", "b"], "number": [-1.5, 2.0], "count": pd.array([-1, None], dtype="Int64")})
    safe = safe_frame(table)
    assert list(safe) == ["'=name", "number", "count"]
    assert safe["'=name"].tolist() == ["'=1", "b"]
    assert safe["number"].tolist() == [-1.5, 2.0]
    pd.testing.assert_frame_equal(original_frame(safe), table)


def test_score_files_contain_no_formulas():
    file = Csv({"record_id": str, "logit__MI": float})
    text = file.part({"record_id": [*FORMULAS, "ecg1"], "logit__MI": [-1.25] * 8}).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [name for name, _ in rows] == [*("'" + name for name in FORMULAS), "ecg1"]
    assert {value for _, value in rows} == {"-1.25"}


def test_predictions_keep_names_that_look_like_formulas(tmp_path):
    names = ["=1+1", "-2+3", "'@x", "a"]
    logits = [[-2.0], [2.0], [-1.0], [1.0]]
    table = prediction_table(names, list("1234"), ["test"] * 4, "probe", ["MI"], [[0], [1], [0], [1]], logits)
    write_predictions(table, tmp_path / "p.csv")
    assert "'=1+1" in (tmp_path / "p.csv").read_text()
    assert read_predictions(tmp_path / "p.csv")["record_id"].tolist() == table["record_id"].tolist()
