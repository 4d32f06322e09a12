"""Lead names of recordings in memory: unknown and repeated names are errors that list them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deploy_models import beats
from plain_bundle import plain_bundle

import ecgssl
from ecgssl.errors import RecordingError
from ecgssl.scoring.dataframe import score_frame
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


def test_table_rows_with_unknown_names_are_rejected(model):
    signal = (beats(0) / 1000).tolist()
    table = pd.DataFrame(
        {
            "signal": [signal] * 3,
            "sampling_rate": [250.0, 250.0, np.nan],
            "leads": [list(LEADS), ["ecg1", *LEADS[1:]], list(LEADS)],
        }
    )
    found = score_frame(model.bundle, table)
    assert found["status"].tolist() == ["ok", "rejected", "rejected"]
    assert found["reasons"].tolist()[1:] == ["leads", "rate"]
