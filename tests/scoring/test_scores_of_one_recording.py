"""Scores of one recording: quality flags and used leads are those of the score file, and the short text shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deploy_models import beats
from plain_bundle import plain_bundle

import ecgssl
from ecgssl.scoring.files import predict
from ecgssl.signal.findings import Finding
from ecgssl.signal.leads import LEADS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return plain_bundle(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def model(bundle):
    return ecgssl.load(bundle)


def signal() -> np.ndarray:
    return (beats(0, 250, 10) / 1000).astype(np.float32)


def test_a_sound_recording_has_all_leads_and_no_flags(model):
    found = model.predict(signal(), 250, LEADS)
    assert (found.flags, found.findings, found.missing_leads) == ((), (), ())
    assert found.leads == LEADS
    assert repr(found).endswith("; 12 leads; no flags>")


def test_a_lead_that_is_left_out_for_one_missing_value_is_stated(model):
    gap = signal()
    gap[3, 100] = np.nan
    found = model.predict(gap, 250, LEADS)
    assert found.missing_leads == ("aVR",)
    assert found.leads == tuple(lead for lead in LEADS if lead != "aVR")
    assert found.flags == ("nan",)
    assert [(finding.code, finding.lead) for finding in found.findings] == [("nan", "aVR")]
    assert 0 < found.findings[0].value < 0.001
    assert repr(found).endswith("; 11 leads without aVR; flags: nan>")


def test_reversed_arms_are_flagged(model):
    found = model.predict(signal() * np.float32([[-1]] + [[1]] * 11), 250, LEADS)
    assert "limb_law" in found.flags
    assert found.missing_leads == ()
    assert isinstance(found.findings[0], Finding)
    assert "flags: limb_law" in repr(found)


def test_flags_leads_and_table_are_those_of_a_score_file(model, bundle, tmp_path):
    gap = signal()
    gap[6, 7] = np.nan
    np.savez(tmp_path / "gap.npz", signal=gap, fs=250, leads=np.array(LEADS), unit="mV")
    predict(bundle, [tmp_path / "gap.npz"], tmp_path / "scores.parquet", show_progress=False)
    written = pd.read_parquet(tmp_path / "scores.parquet").iloc[0]
    found = model.predict(tmp_path / "gap.npz")
    assert (";".join(found.flags), " ".join(found.leads)) == (written["flags"], written["leads"])
    assert written["flags"] == "nan"
    assert found.table.index.tolist() == [written["record_id"]]
    for name in ("flags", "leads", "heart_rate", "prob__MI", "call__MI__youden"):
        assert found.table[name].iloc[0] == written[name]


def test_the_text_of_many_counts_recordings_with_flags(model):
    gap = signal()
    gap[3, 100] = np.nan
    found = model.predict(np.stack([signal(), gap, gap * 0]), 250, LEADS)
    assert repr(found) == "<Results of 3 recordings, 1 rejected, 1 with flags: MI, NORM>"
