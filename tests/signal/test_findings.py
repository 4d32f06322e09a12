"""Quality findings as text and as table cells."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from ecgssl.config import QualityParams, ReasonCode
from ecgssl.signal.findings import Finding, findings_from_cell, findings_text, findings_to_cell, limit_text


def test_only_a_code_without_a_limit_has_no_limit_text() -> None:
    for code in get_args(ReasonCode):
        assert limit_text(code, QualityParams()).startswith(("up to", "from", "between")) != (code == "no_beats")


def test_in_words() -> None:
    findings = [Finding("hf_noise", "V2", 0.0312), Finding("hf_noise", "V3", 0.0241), Finding("no_beats", None, 1.0)]
    expected = "hf_noise 0.0312 mV in V2, 0.0241 mV in V3 (allowed: up to 0.02 mV, quality.hf_noise); no_beats 1"
    assert findings_text(findings, QualityParams()) == expected
    assert (
        findings_text(findings, QualityParams(), most=1)
        == "hf_noise 0.0312 mV in V2 (allowed: up to 0.02 mV, quality.hf_noise)"
    )
    span = findings_text([Finding("unit_suspect", None, 1200.0)], QualityParams())
    assert span == "unit_suspect 1.2e+03 mV (allowed: between 0.1 and 20 mV, quality.span)"


@pytest.mark.parametrize("value", [0.03125, 1e-7, 123456.0, float("nan")])
def test_cells_are_read_back(value: float) -> None:
    findings = [Finding("flat", "aVR", value), Finding("limb_law", None, 0.5)]
    again = findings_from_cell(findings_to_cell(findings))
    assert [(f.code, f.lead) for f in again] == [("flat", "aVR"), ("limb_law", None)]
    np.testing.assert_allclose([f.value for f in again], [value, 0.5], rtol=1e-3)
    assert findings_from_cell("") == []
