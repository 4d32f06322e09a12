"""PTB-XL: a small release with its known special cases, a full-size table, and the real excerpt."""

from __future__ import annotations

import ast
import csv
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.label_sets import with_label_sets
from ecgssl.datasets.public.ptbxl import LIKELIHOOD, PTBXL, SUPERCLASSES
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError

COLUMNS = "ecg_id,patient_id,age,sex,site,device,scp_codes,strat_fold,filename_lr,filename_hr"
ROWS = [
    "1,15709.0,56.0,1,0.0,CS-12   E,\"{'NORM': 100.0, 'SR': 0.0}\",3",
    "2,15709.0,300.0,0,,,\"{'IMI': 0.0, 'NDT': 50.0}\",8",
    "3,20372.0,,0,1.0,AT-6,\"{'SR': 0.0}\",9",
    "4,20373.0,20.0,1,1.0,AT-6,\"{'LVH': 15.0, 'CLBBB': 100.0}\",10",
]
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
CLBBB,complete left bundle branch block,1.0,,,CD,CLBBB
SR,sinus rhythm,,,1.0,,
"""


@pytest.fixture
def release(tmp_path):
    rows = []
    for row in ROWS:
        number = int(row.split(",")[0])
        names = [f"records{r}/00000/{number:05d}_{s}" for r, s in ((100, "lr"), (500, "hr"))]
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{name}.hea").touch()
        rows.append(",".join([row, *names]))
    (tmp_path / "ptbxl_database.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    (tmp_path / "scp_statements.csv").write_text(STATEMENTS)
    return tmp_path


def test_labels_folds_and_traps(release):
    cohort = load(SetParams(reader="ptbxl", root=release, sampling_rate=100), "unused")
    table = cohort.table.set_index("record_id")
    assert cohort.targets == SUPERCLASSES == ("NORM", "MI", "STTC", "CD", "HYP")
    expected = [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [np.nan] * 5, [0, 0, 0, 1, 1]]
    np.testing.assert_array_equal(table[list(SUPERCLASSES)].to_numpy(), expected)
    assert list(table["split"]) == ["train", "train", "val", "test"]
    assert list(table["patient_id"]) == ["15709", "15709", "20372", "20373"]
    assert list(table["sex"]) == ["female", "male", "male", "female"]
    np.testing.assert_array_equal(table["age"], [56, 90, np.nan, 20])
    assert table["path"].iloc[0] == "records100/00000/00001_lr"
    assert PTBXL(release).cohort().table["path"].iloc[0] == "records500/00000/00001_hr"
    assert cohort.notes == (
        "4 of 21,799 recordings of release 1.0.3, or of another release: the files do not state it",
        "1 recordings have no code of label set superclass: targets unknown",
        "1 ages above 89 (stored as 300 in the release) are set to 90",
    )


def test_code_in_the_table_is_not_run(release):
    database = release / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("\"{'SR': 0.0}\"", "\"__import__('os').abort()\""))
    with pytest.raises(InputError, match=r"scp_codes: row 4: not usable"):
        PTBXL(release).cohort()


def test_what_is_wrong_is_named(release):
    database = release / "ptbxl_database.csv"
    text = database.read_text()
    database.write_text(text.replace(",10,records", ",11,records"))
    (release / "records500/00000/00002_hr.hea").unlink()
    with pytest.raises(InputError) as caught:
        PTBXL(release).cohort()
    assert {p.field for p in caught.value.problems} == {"strat_fold", "filename_hr"}
    assert "1 of 4" in str(caught.value)
    database.write_text(text.replace("strat_fold", "fold"))
    with pytest.raises(InputError, match="strat_fold"):
        PTBXL(release).cohort()
    with pytest.raises(
        InputError, match=r"which identifies PTB-XL. Set sets\.NAME\.root to " + re.escape(str(release)) + "$"
    ):
        PTBXL(release / "records500")
    database.unlink()
    with pytest.raises(InputError, match="which identifies PTB-XL"):
        PTBXL(release).cohort()


LABELS = {
    "superclass": {1: {"NORM"}, 2: {"MI", "STTC"}, 4: {"HYP", "CD"}},
    "subclass": {1: {"NORM"}, 2: {"IMI", "STTC"}, 4: {"LVH", "CLBBB"}},
    "diagnostic": {1: {"NORM"}, 2: {"IMI", "NDT"}, 4: {"LVH", "CLBBB"}},
    "form": {2: {"NDT"}},
    "rhythm": {1: {"SR"}, 3: {"SR"}},
    "all": {1: {"NORM", "SR"}, 2: {"IMI", "NDT"}, 3: {"SR"}, 4: {"LVH", "CLBBB"}},
    "superclass" + LIKELIHOOD: {1: {"NORM"}, 2: {"STTC"}, 4: {"CD"}},
    "subclass" + LIKELIHOOD: {1: {"NORM"}, 2: {"STTC"}, 4: {"CLBBB"}},
    "diagnostic" + LIKELIHOOD: {1: {"NORM"}, 2: {"NDT"}, 4: {"CLBBB"}},
}
"""Positive labels of each recording of the small release; other labels are unknown."""


@pytest.mark.parametrize("labels", PTBXL.label_sets)
def test_label_sets(release, labels):
    cohort = load(SetParams(reader="ptbxl", root=release, labels=labels), "unused")
    table = cohort.table.set_index("record_id")[list(cohort.targets)]
    for number in range(1, 5):
        row = table.loc[f"ptbxl-{number:05d}"]
        if number in LABELS[labels]:
            assert set(row.index[row == 1]) == LABELS[labels][number]
            assert not row.isna().any()
        else:
            assert row.isna().all()


def test_several_label_sets_in_one_cohort(release):
    names = [labels for labels in LABELS if not labels.endswith(LIKELIHOOD)]
    cohort = load(SetParams(reader="ptbxl", root=release, labels=names), "unused")
    for labels in names:
        alone = load(SetParams(reader="ptbxl", root=release, labels=labels), "unused")
        for target in alone.targets:
            np.testing.assert_array_equal(cohort.table[f"{labels}.{target}"], alone.table[target])
    assert len(cohort.targets) == len(set(cohort.targets)) == sum(c.count(".") for c in cohort.targets)
    assert set(cohort.table) - set(cohort.targets) == set(alone.table) - set(alone.targets)
    with pytest.raises(InputError, match="nothing: is not a label set of ptbxl"):
        load(SetParams(reader="ptbxl", root=release, labels=["superclass", "nothing"]), "unused")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["all", "all"], "one or more different"), ([], "one or more different"), (["all"], "merl has the labels of one")],
)
def test_lists_of_label_sets_that_cannot_be(labels, message):
    merl = {"folder": "merl"} if labels == ["all"] else None
    with pytest.raises(ValueError, match=message):
        SetParams(reader="ptbxl", root="somewhere", labels=labels, merl=merl)


def test_label_sets_with_other_recordings_are_refused(release):
    one = load(SetParams(reader="ptbxl", root=release), "unused")
    with pytest.raises(InputError, match="label sets b have other recordings or splits than a"):
        with_label_sets({"a": one, "b": replace(one, table=one.table.iloc[1:])})


def test_codes_without_a_name_are_counted(release):
    database = release / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("'CLBBB'", "'clbbb'"))
    cohort = PTBXL(release, labels="all").cohort()
    assert cohort.notes[-2] == "1 codes without a label (number of recordings): clbbb (1)"


@pytest.mark.parametrize("cell", ["{'SR': None}", "{'SR': nan}", "['SR']", "{'SR': }", "", "{" * 5000])
def test_cells_that_are_no_statements(release, cell):
    database = release / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("{'SR': 0.0}", cell))
    with pytest.raises(InputError, match=r"scp_codes: row 4: not usable"):
        PTBXL(release).cohort()


def without_columns(path, *names):
    table = pd.read_csv(path, dtype=str)
    table.drop(columns=list(names)).to_csv(path, index=False)


@pytest.mark.parametrize(
    "absent", [("site", "device"), ("age", "filename_lr"), ("age", "sex", "site", "device", "filename_lr")]
)
def test_columns_that_only_describe_may_be_absent(release, absent):
    """The path at the other sampling rate is not needed either."""
    before = PTBXL(release).cohort()
    without_columns(release / "ptbxl_database.csv", *absent)
    cohort = PTBXL(release).cohort()
    described = [name for name in absent if name != "filename_lr"]
    assert f"the table has no column {', '.join(described)}: unknown for all recordings" in cohort.notes
    for name in described:
        assert cohort.table[name].isin(["", np.nan]).all()
    pd.testing.assert_frame_equal(
        cohort.table.drop(columns=described), before.table.drop(columns=described), check_dtype=False
    )


def test_releases_are_reported_apart(release):
    sums = release / "SHA256SUMS.txt"
    sums.write_text(f"{'0' * 64} ptbxl_v103_changelog.txt\n")
    assert "4 of 21,799 recordings of release 1.0.3:" in PTBXL(release).cohort().notes[0]
    sums.write_text("cd9bf4e6445c5e022605857c4d6f90c90ff0e62df847da52efaebe94de786156 ptbxl_database.csv\n")
    assert "4 of 21,837 recordings of release 1.0.1:" in PTBXL(release).cohort().notes[0]


def full_size(folder, recordings: int = 21_799) -> None:
    """A table of the size of release 1.0.3 with the published counts of superclasses and folds, without patients."""
    code = {"NORM": "NORM", "MI": "IMI", "STTC": "NDT", "CD": "CLBBB", "HYP": "LVH"}
    counts = {"NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
    positives = [code[name] for name, count in counts.items() for _ in range(count)]
    codes = [["SR"] for _ in range(recordings)]
    # the 411 without a diagnosis: 334 of the training folds, 37 of fold 9 and 40 of fold 10
    fold = [1 + i % 8 for i in range(17_418)] + [9] * 2_183 + [10] * 2_198
    fold += [1] * (recordings - len(fold))
    diagnosed = [*range(17_084), *range(17_418, 17_418 + 2_146), *range(19_601, 19_601 + 2_158)]
    for place, name in enumerate(positives):
        codes[diagnosed[place % len(diagnosed)]].append(name)
    with (folder / "ptbxl_database.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS.split(","))
        for i in range(recordings):
            stated = str(dict.fromkeys(codes[i], 0.0))
            patient = f"{i if i < 18_869 else i - 18_869}.0"
            writer.writerow([i + 1, patient, 60.0, 0, "", "", stated, fold[i], f"r100/{i}_lr", f"r500/{i}_hr"])


def test_counts_of_the_whole_release_are_asserted(release, monkeypatch):
    monkeypatch.setattr(PTBXL, "absent", lambda *_, **__: [])
    full_size(release)
    # the number of rows decides, also next to the checksums of another release
    sums = release / "SHA256SUMS.txt"
    sums.write_text("cd9bf4e6445c5e022605857c4d6f90c90ff0e62df847da52efaebe94de786156 ptbxl_database.csv\n")
    cohort = PTBXL(release).cohort()
    assert len(cohort) == 21_799
    differs = "21,799 recordings, as in release 1.0.3 (but a file in the folder is of release 1.0.1): "
    assert cohort.notes[0].startswith(differs)
    database = release / "ptbxl_database.csv"
    text = database.read_text()
    database.write_text(text.replace("'IMI'", "'NORM'", 1))
    with pytest.raises(InputError) as caught:
        PTBXL(release).cohort()
    (problem,) = caught.value.problems
    assert "NORM 9,515 (9,514), MI 5,468 (5,469)" in problem.what
    # the miniature's statements are not those of the release
    database.write_text(text)
    with pytest.raises(InputError, match=r"targets 1 \(19\), train 2"):
        PTBXL(release, labels="form").cohort()


def test_release_1_0_1_is_recognised_by_its_size(release, monkeypatch):
    monkeypatch.setattr(PTBXL, "absent", lambda *_, **__: [])
    full_size(release, 21_837)
    (release / "ptbxl_v103_changelog.txt").touch()
    assert "as in release 1.0.1 (but a file in the folder is of release 1.0.3)" in PTBXL(release).cohort().notes[0]


@pytest.mark.real
@pytest.mark.parametrize("rate", [100, 500])
def test_agrees_with_the_manifest_of_the_excerpt(real_data, rate):
    cohort = PTBXL(real_data / "ptbxl_500", sampling_rate=rate).cohort()
    assert "500 of 21,837 recordings of release 1.0.1" in cohort.notes[0]
    official = cohort.table
    assert len(official) == 500
    manifest = load_manifest(real_data / "ptbxl_cohort.csv").table
    both = official.merge(manifest, on="record_id", suffixes=("", "_manifest"))
    assert len(both) > 400
    for column in [*SUPERCLASSES, "patient_id", "fold"]:
        pd.testing.assert_series_equal(both[column], both[f"{column}_manifest"], check_names=False)


@pytest.mark.real
@pytest.mark.parametrize(
    ("labels", "targets"),
    [("superclass", 5), ("subclass", 23), ("diagnostic", 44), ("form", 19), ("rhythm", 12), ("all", 71)],
)
def test_agrees_with_the_tables_read_row_by_row(real_data, labels, targets):
    root = real_data / "ptbxl_500"
    cohort = PTBXL(root, labels=labels).cohort()
    assert len(cohort.targets) == targets
    with (root / "scp_statements.csv").open(encoding="utf-8") as stream:
        statements = {row[""]: row for row in csv.DictReader(stream)}
    column = {"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}.get(labels)
    flag = "diagnostic" if column else labels
    with (root / "ptbxl_database.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    table = cohort.table[list(cohort.targets)]
    for (_, found), row in zip(table.iterrows(), rows, strict=True):
        stated = ast.literal_eval(row["scp_codes"])
        codes = [code for code in stated if labels == "all" or statements[code][flag] == "1.0"]
        expected = {statements[code][column] if column else code for code in codes}
        assert set(found.index[found == 1]) == expected
        assert found.isna().all() == (not expected)
