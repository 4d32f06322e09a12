"""Ages from dates of birth, columns with two words, and targets renamed with --column."""

from __future__ import annotations

import pandas as pd
import pytest

from ecgssl.config import ManifestParams, Target
from ecgssl.datasets.table.manifest import examine_manifest, listed_recordings, load_manifest
from ecgssl.datasets.table.two_words import target_options
from ecgssl.errors import InputError


def table(folder, header: str, *rows: str):
    """Write a table of recordings named a, b, ... in which each row gets its id, path and patient."""
    lines = [f"record_id,path,patient_id,split,{header}"]
    for number, row in enumerate(rows):
        name = chr(ord("a") + number)
        (folder / f"{name}.hea").touch()
        lines.append(f"{name},{name},p{number},train,{row}")
    (folder / "m.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "m.csv"


def test_dates_of_birth_give_completed_years(tmp_path):
    rows = [
        "25.03.1950,2021-03-24,", "25.03.1950,2021-03-25,", "29.02.2000,2021-02-28,", "29.02.2000,2021-03-01,",
        "01.01.1921,2021-01-01,", "01.01.1950,,", ",2021-01-01,", "01.01.1950,2021-01-01,63",
    ]  # fmt: skip
    found = load_manifest(
        table(tmp_path, "Geburtsdatum,acq_time,age", *rows),
        reading=ManifestParams(columns={"birth_date": "Geburtsdatum"}),
    )
    expected = pd.Series([70, 71, 20, 21, 90, None, None, 63], dtype=float, name="age")
    pd.testing.assert_series_equal(found.table["age"], expected)
    assert "birth_date" not in found.table
    assert not any("1950" in str(cell) for cell in found.table.to_numpy().ravel())
    assert "5 ages computed from birth_date and acq_time; birth_date is not kept" in found.notes
    assert "1 computed age above 89 set to 90, because a high age can identify a person" in found.notes
    assert "1 ages contradict birth_date and acq_time, first in row 9; the ages of the table are used" in found.notes
    assert found.targets == ()


@pytest.mark.parametrize(
    ("header", "row", "what"),
    [
        ("birth_date,acq_time", "2021-03-26,2021-03-25", "row 2: is after the date of the recording"),
        ("birth_date,acq_time", "1821-03-26,2021-03-25", "row 2: is more than 130 years before the recording"),
        ("birth_date,acq_time", "25.03.50,2021-03-25", "row 2: is not a known date format"),
        ("birth_date,acq_time", "03/04/1950,2021-03-25", "row 2: day and month are ambiguous"),
        ("birth_date", "1950-03-26", "gives no age, because the date of the recording is missing"),
    ],
)
def test_dates_of_birth_that_give_no_age_are_errors_without_the_date(tmp_path, header, row, what):
    with pytest.raises(InputError) as caught:
        load_manifest(table(tmp_path, header, row))
    (problem,) = [one for one in caught.value.problems if one.field == "birth_date"]
    assert problem.what == what
    assert not any(year in str(caught.value) for year in ("1950", "1821", ".50"))


def test_an_unreadable_date_does_not_hide_other_faults(tmp_path):
    rows = ["1950-99-99,2021-03-25", "2030-01-01,2021-03-25", "1800-01-01,2021-03-25", "1950-01-01,2021-03-25"]
    with pytest.raises(InputError) as caught:
        load_manifest(table(tmp_path, "birth_date,acq_time", *rows))
    assert [problem.what for problem in caught.value.problems if problem.field == "birth_date"] == [
        "row 2: is not a known date format",
        "row 3: is after the date of the recording",
        "row 4: is more than 130 years before the recording",
    ]


def test_columns_with_two_words_are_offered_with_options_that_work(tmp_path):
    path = table(
        tmp_path,
        "Befund AF,LBBB,MI,Text,n,AF ok",
        "Ja,positiv,yes,ja,n,ja", "nein,negativ,,kein Befund,n,nein", "unbekannt,U,no,ja,n,JA",
    )  # fmt: skip
    found = examine_manifest(path)
    notes = [note for note in found.cohort.notes if "To use it as a target" in note]
    assert notes == [
        'column Befund AF is not used. To use it as a target, add: --value "Befund AF:Ja=1" --value "Befund AF:nein=0" '
        '--value "Befund AF:unbekannt="',
        "column LBBB is not used. To use it as a target, add: --value LBBB:positiv=1 --value LBBB:negativ=0",
        "column MI is not used. To use it as a target, add: --value MI:yes=1 --value MI:no=0",
        'column AF ok is not used. To use it as a target, add: --value "AF ok:ja=1" --value "AF ok:nein=0"',
    ]
    assert set(found.unused) == {"Befund AF", "LBBB", "MI", "Text", "n", "AF ok"}
    reading = ManifestParams(
        values={"Befund AF": {"Ja": "1", "nein": "0", "unbekannt": ""}, "MI": {"yes": "1", "no": "0"}}
    )
    cohort = load_manifest(path, reading=reading)
    assert cohort.targets == ("Befund AF", "MI")
    pd.testing.assert_series_equal(cohort.table["Befund AF"], pd.Series([1, 0, None], dtype=float, name="Befund AF"))
    pd.testing.assert_series_equal(cohort.table["MI"], pd.Series([1, None, 0], dtype=float, name="MI"))


def test_no_word_is_guessed():
    assert target_options("a", ["ja", "nein", "vielleicht"]) is None
    assert target_options("a", ["", "NA"]) is None
    assert target_options("a", ["-", ""]) is None
    assert target_options("a", ["ja", "no"]) is None


def test_a_target_is_renamed_and_a_misspelt_standard_name_is_not(tmp_path):
    path = table(tmp_path, "Befund AF,MRN", "ja,1", "nein,2")
    reading = ManifestParams(columns={"af": "Befund AF"}, values={"af": {"ja": "1", "nein": "0"}})
    cohort = load_manifest(path, reading=reading)
    assert cohort.targets == ("af",)
    assert cohort.table["af"].tolist() == [1, 0]
    assert "Befund AF" not in cohort.table
    declared = ManifestParams(
        columns={"af": "Befund AF"}, targets={"af": Target(column="Befund AF", positive=["ja"], negative=["nein"])}
    )
    assert load_manifest(path, reading=declared).table["af"].tolist() == [1, 0]
    for wrong, meant in (("pateint_id", "patient_id"), ("Geburtsdatum", "birth_date"), ("mrn", "patient_id")):
        found = examine_manifest(path, reading=ManifestParams(columns={wrong: "MRN"}))
        assert [i.remedy for i in found.issues if i.column == f"sets.NAME.columns.{wrong}"] == [
            f"Did you mean {meant!r}?"
        ]
    absent = examine_manifest(path, reading=ManifestParams(columns={"af": "Befund Af"}))
    assert [(i.column, i.remedy) for i in absent.issues] == [("af", "Did you mean 'Befund AF'?")]


def test_a_list_of_recordings_is_read_with_the_same_options(tmp_path):
    (tmp_path / "m.csv").write_text("Nr;Datei\n1;E:\\ekg\\a.xml\n")
    reading = ManifestParams(
        columns={"record_id": "Nr", "path": "Datei", "af": "Befund AF"},
        values={"af": {"ja": "1"}},
        path_prefix="E:\\ekg",
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.xml").touch()
    found = listed_recordings(tmp_path / "m.csv", tmp_path / "data", reading)
    assert found.table.to_dict("list") == {"record_id": ["1"], "path": ["a.xml"]}
    wrong = ManifestParams(columns={"record_id": "Nr", "path": "Datei2"})
    with pytest.raises(InputError, match="the file has no column 'Datei2'"):
        listed_recordings(tmp_path / "m.csv", tmp_path / "data", wrong)
    # errors of columns and of paths are reported together
    for wrong in (
        ManifestParams(columns={"path": "Datei"}),
        ManifestParams(columns={"path": "Datei", "record_id": "Id"}),
    ):
        with pytest.raises(InputError) as caught:
            listed_recordings(tmp_path / "m.csv", tmp_path / "empty", wrong)
        assert [problem.field for problem in caught.value.problems] == ["record_id", "path"]
