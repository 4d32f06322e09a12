"""Recording requests: overrides reach the reader, and excluded recordings are not read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from heartbeats import heartbeats
from wfdb_files import write_record

from ecgssl.config import parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.io import read
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.preprocessing import prepare
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.preprocessing.request import RecordingRequest, recording_requests
from ecgssl.store.store import Store

DIGITAL = np.rint(1000 * heartbeats(1, seconds=10, rate=250)[0]).astype(np.int16)


def cohort(root, **columns) -> Cohort:
    count = len(columns["path"])
    table = pd.DataFrame({"record_id": [f"r{i}" for i in range(count)], **columns})
    table["patient_id"], table["split"] = table["record_id"], "train"
    return Cohort("set", root, table, (), "")


def test_what_the_table_leaves_open_states_nothing(tmp_path):
    assert recording_requests(cohort(tmp_path, path=["a", "b#c"]), 0, 2) == [
        RecordingRequest(f"{tmp_path}/a"),
        RecordingRequest(f"{tmp_path}/b#c"),
    ]
    empty = cohort(tmp_path, path=["a"], sampling_rate=[np.nan], units=[""], leads=[None], defect=[""])
    assert recording_requests(empty, 0, 1)[0].overrides is NO_OVERRIDES


def test_cells_become_what_is_stated(tmp_path):
    table = cohort(
        tmp_path,
        path=["a", "b", "c"],
        sampling_rate=[500, np.nan, 257.0],
        units=["uV", "", np.nan],
        leads=["I;II; V1", "", ""],
        defect=["swapped", "", "cut"],
        defect_action=["flag", "", "exclude"],
    )
    assert recording_requests(table, 0, 2) == [
        RecordingRequest(f"{tmp_path}/a", MetadataOverrides(500.0, "uV", ("I", "II", "V1")), "swapped"),
        RecordingRequest(f"{tmp_path}/b"),
    ]
    assert recording_requests(table, 2, 3) == [
        RecordingRequest(f"{tmp_path}/c", MetadataOverrides(257.0), "cut", excluded=True)
    ]


@pytest.mark.parametrize("member", ["", "#7"])
def test_the_reader_is_told(tmp_path, monkeypatch, member):
    write_record(tmp_path, "a", DIGITAL, rate=250)
    seen = []

    def reader(path, **given):
        seen.append((path, given))
        return read(tmp_path / "a")

    monkeypatch.setattr(prepare, "read", reader)
    table = cohort(tmp_path, path=[f"a{member}"], sampling_rate=[250], units=["uV"])
    params = parse_params({"tasks": {"t": {"targets": ["AF"]}}, "store": {"workers": 1}})
    assert preprocess(table, params, tmp_path / "out", bytes(32), progress=False).stored == 1
    assert seen == [(f"{tmp_path}/a{member}", {"overrides": MetadataOverrides(250.0, "uV")})]


def test_known_defects_are_counted_or_flagged(tmp_path):
    for name in ("a", "b", "c"):
        write_record(tmp_path, name, DIGITAL, rate=250)
    (tmp_path / "b.hea").unlink()  # the file must not be read
    table = cohort(
        tmp_path, path=["a", "b", "c"], defect=["", "electrodes; swapped", "odd"], defect_action=["", "exclude", "flag"]
    )
    params = parse_params({"tasks": {"t": {"targets": ["AF"]}}, "store": {"workers": 1, "max_rejected_fraction": 0.5}})
    report = preprocess(table, params, tmp_path / "out", bytes(32), progress=False)
    assert (report.counted, report.stored, report.rejected) == (3, 2, 1)
    assert report.reasons == {"known_defect": 1}
    assert report.flags["known_defect"] == 1
    rejected = pd.read_csv(tmp_path / "out/rejected.csv").drop(columns="findings")
    assert rejected.to_dict("records") == [
        {"record_id": "r1", "stage": "known_defect", "reason": "known_defect", "detail": "electrodes; swapped"}
    ]
    index = Store(tmp_path / "out").index
    assert list(index["record_id"]) == ["r0", "r2"]
    assert ["known_defect" in cell.split(";") for cell in index["reasons"]] == [False, True]
