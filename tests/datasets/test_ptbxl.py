"""PTB-XL: a miniature in the official layout with its known traps, and the real excerpt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgssl.config import DataParams
from ecgssl.datasets import load
from ecgssl.datasets.manifest import load_manifest
from ecgssl.datasets.ptbxl import SUPERCLASSES, load_ptbxl
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
    cohort = load(DataParams(set="ptbxl", root=release, sampling_rate=100), "unused")
    table = cohort.table.set_index("record_id")
    assert cohort.targets == SUPERCLASSES == ("NORM", "MI", "STTC", "CD", "HYP")
    expected = [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [np.nan] * 5, [0, 0, 0, 1, 1]]
    np.testing.assert_array_equal(table[list(SUPERCLASSES)].to_numpy(), expected)
    assert list(table["split"]) == ["train", "train", "val", "test"]
    assert list(table["patient_id"]) == ["15709", "15709", "20372", "20373"]
    assert list(table["sex"]) == ["female", "male", "male", "female"]
    np.testing.assert_array_equal(table["age"], [56, 90, np.nan, 20])
    assert table["path"].iloc[0] == "records100/00000/00001_lr"
    assert load_ptbxl(release).table["path"].iloc[0] == "records500/00000/00001_hr"
    assert len(cohort.notes) == 2


def test_code_in_the_table_is_not_run(release):
    database = release / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("\"{'SR': 0.0}\"", "\"__import__('os').abort()\""))
    with pytest.raises(InputError, match=r"scp_codes: row 4: not usable"):
        load_ptbxl(release)


def test_what_is_wrong_is_named(release):
    database = release / "ptbxl_database.csv"
    text = database.read_text()
    database.write_text(text.replace(",10,records", ",11,records"))
    (release / "records500/00000/00002_hr.hea").unlink()
    with pytest.raises(InputError) as caught:
        load_ptbxl(release)
    assert {p.field for p in caught.value.problems} == {"strat_fold", "filename_hr"}
    assert "1 of 4" in str(caught.value)
    database.write_text(text.replace("strat_fold", "fold"))
    with pytest.raises(InputError, match="strat_fold"):
        load_ptbxl(release)
    database.unlink()
    with pytest.raises(InputError, match="does not exist"):
        load_ptbxl(release)


@pytest.mark.real
@pytest.mark.parametrize("rate", [100, 500])
def test_agrees_with_the_manifest_of_the_excerpt(real_data, rate):
    official = load_ptbxl(real_data / "ptbxl_500", rate).table
    assert len(official) == 500
    manifest = load_manifest(real_data / "ptbxl_cohort.csv").table
    both = official.merge(manifest, on="record_id", suffixes=("", "_manifest"))
    assert len(both) > 400
    for column in [*SUPERCLASSES, "patient_id", "fold"]:
        pd.testing.assert_series_equal(both[column], both[f"{column}_manifest"], check_names=False)
