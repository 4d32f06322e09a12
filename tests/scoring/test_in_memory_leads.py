"""Lead names of recordings in memory: unknown and repeated names are errors that list them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deploy_models import beats
from plain_bundle import plain_bundle

import ecgssl
from ecgssl.errors import RecordingError
from ecgssl.scoring.dataframe import MALFORMED, score_frame
from ecgssl.signal.leads import LEADS

UPPER = tuple(lead.upper() for lead in LEADS)
MDC = tuple(f"MDC_ECG_LEAD_{lead}" for lead in LEADS)
PADDED = tuple(f" {lead.lower()} " for lead in LEADS)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ecgssl.load(plain_bundle(tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("names", [UPPER, MDC, PADDED], ids=["upper", "mdc", "padded"])
def test_other_spellings_give_the_same_scores(model, names):
    signal = beats(0) / 1000
    assert model.predict(signal, 250, names) == model.predict(signal, 250, LEADS)


def test_unknown_names_are_listed(model):
    names = ("I", "II", "lead_x", "aVR ", "Poche 1", "VX", "V3", "resp")
    with pytest.raises(RecordingError) as caught:
        model.predict(beats(0)[:8] / 1000, 250, names)
    assert caught.value.reason == "leads"
    for name in ("'lead_x'", "'Poche 1'", "'VX'", "'resp'"):
        assert name in str(caught.value)
    assert "'V3'" not in str(caught.value)


def test_all_problems_of_names_and_rate_are_listed_together(model):
    with pytest.raises(RecordingError) as caught:
        model.embed(beats(0)[:4] / 1000, 1e-300, ("I", "MDC_ECG_LEAD_I", "II", "pleth"))
    assert caught.value.reason == "leads;duplicate_lead;rate"
    assert "unknown names: 'pleth'" in str(caught.value)
    assert "has I more than once" in str(caught.value)
    assert "1e-300" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "reasons", "listed"),
    [
        (["ecg1", "II", "I", "V1"], "leads", ["'ecg1'"]),
        (["Poche", "pleth", "Ableitung I", "V7"], "leads", ["'Poche'", "'pleth'", "'V7'"]),
        (["C1", "C2", "C3", "C4"], "leads", ["'C1'", "'C2'", "'C3'", "'C4'"]),
        (["I", "x" * 60, "Lead I", "II"], "leads;duplicate_lead", [f"'{'x' * 24}'", "has I more than once"]),
    ],
)
def test_table_rows_with_unknown_names_are_rejected_and_list_them(model, names, reasons, listed):
    signal = (beats(0)[:4] / 1000).tolist()
    table = pd.DataFrame({"signal": [signal] * 2, "sampling_rate": 250.0, "leads": [names, list(LEADS[:4])]})
    found = score_frame(model.bundle, table)
    assert found["status"].tolist() == ["rejected", "ok"]
    assert found["reasons"].tolist() == [reasons, None]
    detail = found["detail"].iloc[0]
    assert detail.startswith("leads: has unknown names: ")
    assert detail.endswith("or remove these rows" if reasons == "leads" else "Send each lead once")
    for text in listed:
        assert text in detail
    assert "x" * 25 not in detail


def test_table_rows_that_are_not_recordings_have_a_detail_without_their_cells(model):
    signal = (beats(0) / 1000).tolist()
    cells = [["MRN4711"] * 12, signal[:11], [*signal[:11], signal[0][:9]], signal, signal]
    table = pd.DataFrame({"signal": cells, "sampling_rate": [250.0] * 3 + [np.nan, "MRN4711"]})
    table["leads"] = [list(LEADS)] * 5
    found = score_frame(model.bundle, table)
    assert found["status"].tolist() == ["rejected"] * 5
    assert found["reasons"].tolist() == ["malformed"] * 3 + ["rate", "malformed"]
    assert found["detail"].iloc[1] == "leads: has 12 names for 11 rows of the signal. Give one name per row"
    assert set(found["detail"].iloc[[0, 2, 4]]) == {MALFORMED}
    assert not found["detail"].str.contains("4711").any()
