"""Unusable recordings in preprocessing and scoring: they are left out, counted and listed with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import contents, ecgssl, refused
from deploy_models import beats
from sound_cohort import RECORDS, preprocess, write_manifest
from wfdb_files import write_record

from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store

SPOILED = {
    # record: (reason, text of the detail)
    0: ("truncated", "bytes of samples, fewer than the header declares"),
    1: ("header", "sampling rate: is not a positive number"),
    2: ("header", "declares more signals than the 11 lines that follow"),
    3: ("nan;min_leads", "0 usable leads, fewer than 6 (quality.min_leads)"),
    4: ("flat;min_leads", ""),
    5: ("unit", "lead I: its unit is not a voltage"),
    6: ("unit_suspect", "mV (allowed: between 0.1 and 20 mV, quality.span)"),
    7: ("too_short", "shorter than the required 5 s (quality.min_duration)"),
}


@pytest.fixture(scope="module")
def spoiled(made, tmp_path_factory):
    """Return the records of the cohort, eight of them unusable and three partly damaged."""
    folder = tmp_path_factory.mktemp("spoiled") / "records"
    shutil.copytree(made.base / "records", folder)

    def edit(number: int, old: str, new: str, count: int = -1) -> None:
        header = folder / f"r{number}.hea"
        assert old in header.read_text()
        header.write_text(header.read_text().replace(old, new, count))

    (folder / "r0.dat").write_bytes((folder / "r0.dat").read_bytes()[:1000])
    edit(1, " 250 ", " fast ", 1)
    (folder / "r2.hea").write_text("\n".join((folder / "r2.hea").read_text().splitlines()[:-1]))
    gaps = beats(3)
    gaps[:, 50:100] = -32768
    write_record(folder, "r3", gaps, rate=250)
    write_record(folder, "r4", np.zeros_like(beats(4)), rate=250)
    edit(5, "/mV", "/mmHg")
    edit(6, "1000.0(0)/mV", "1.0(0)/mV")
    write_record(folder, "r7", beats(7, seconds=4), rate=250)
    one_gap = beats(8)
    one_gap[8, 50:100] = -32768
    write_record(folder, "r8", one_gap, rate=250)
    one_flat = beats(9)
    one_flat[10] = 7
    write_record(folder, "r9", one_flat, rate=250)
    write_record(folder, "r10", beats(10)[[0, 1, 6, 7, 8, 9, 10]], ("I", "II", *LEADS[6:11]), rate=250)
    return folder


def test_spoiled_recordings_are_left_out_and_told(made, spoiled, tmp_path):
    """Exit code 3: the valid recordings are stored as if the others did not exist."""
    manifest = write_manifest(tmp_path / "m.csv", spoiled)
    done = preprocess(made, manifest, tmp_path / "store")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("16 recordings = 8 stored + 8 rejected")
    rejected = pd.read_csv(tmp_path / "store/rejected.csv", keep_default_na=False)
    assert rejected["record_id"].tolist() == [f"rec{i}" for i in SPOILED]
    for (reason, detail), (_, row) in zip(SPOILED.values(), rejected.iterrows(), strict=True):
        assert reason.split(";")[-1] in row["reason"]
        assert detail in row["detail"]
        assert row["detail"]
        assert f"rejected for {row['reason']}: " in done.out
    store, sound = Store(tmp_path / "store"), Store(made.store)
    masks = dict(zip(store.index["record_id"], store.lead_mask(np.arange(8)).tolist(), strict=True))
    absent = {
        name: [lead for lead, there in zip(LEADS, mask, strict=True) if not there] for name, mask in masks.items()
    }
    assert absent == {"rec8": ["V3"], "rec9": ["V5"], "rec10": ["V6"]} | {f"rec{i}": [] for i in range(11, 16)}
    flags = store.index.set_index("record_id")["reasons"]
    assert ("nan" in flags["rec8"], "flat" in flags["rec9"]) == (True, True)
    assert not {"nan", "flat"} & set(flags["rec11"].split(";"))
    untouched = np.flatnonzero(store.index["record_id"].isin([f"rec{i}" for i in range(11, 16)]))
    np.testing.assert_array_equal(store.signals(untouched), sound.signals(np.arange(11, 16)))


def test_scoring_spoiled_recordings_gives_the_same_reasons(made, spoiled, tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", spoiled)
    preprocess(made, manifest, tmp_path / "store")
    rejected = pd.read_csv(tmp_path / "store/rejected.csv").set_index("record_id")
    done = ecgssl("predict", manifest, "--bundle", made.base / "bundle", "--out", tmp_path / "s.csv")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("16 inputs = 8 scored + 8 rejected")
    scores = pd.read_csv(tmp_path / "s.csv").set_index("record_id")
    assert scores.index.tolist() == [f"rec{i}" for i in range(RECORDS)]
    assert scores.loc[rejected.index, ["reasons", "detail"]].to_numpy().tolist() == (
        rejected[["reason", "detail"]].to_numpy().tolist()
    )
    assert scores["prob__MI"].isna().tolist() == [i in SPOILED for i in range(RECORDS)]


def test_too_many_spoiled_recordings_leave_no_store(made, spoiled, tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", spoiled)
    shutil.copytree(made.store, tmp_path / "store")
    before = contents(tmp_path / "store")
    done = preprocess(made, manifest, tmp_path / "store", "--set", "store.max_rejected_fraction=0.4")
    refused(done, f"{manifest}: store.max_rejected_fraction: 8 of 16 recordings cannot be used", "unit 1", "raise the")
    assert contents(tmp_path / "store") == before
    listing = Path(done.err.partition("See ")[2].partition(". Fix")[0])
    assert len(pd.read_csv(listing)) == 8
