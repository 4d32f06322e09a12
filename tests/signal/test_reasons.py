"""Reason codes: one complete entry per code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from ecgssl.config import QualityParams
from ecgssl.signal.reasons import READ_TEXTS, REASON_TEXTS, REASONS, ReasonCode

PACKAGE = Path(__file__).parents[2] / "ecgssl"


def test_every_code_has_an_entry() -> None:
    assert list(REASONS) == list(get_args(ReasonCode))
    assert set(REASONS).isdisjoint(READ_TEXTS)
    assert all(text and text == text.strip() for text in REASON_TEXTS.values())


@pytest.mark.parametrize("code", get_args(ReasonCode))
def test_an_entry_is_complete(code: ReasonCode) -> None:
    reason, params = REASONS[code], QualityParams()
    assert reason.text
    assert reason.figure
    assert params.policy[code] == reason.policy
    assert reason.limit in {None, *QualityParams.model_fields}
    assert (reason.scope, reason.policy) != ("recording", "mask")


def test_every_limit_has_a_code() -> None:
    """A limit without a code would be missing from all messages."""
    used = {reason.limit for reason in REASONS.values()}
    assert set(QualityParams.model_fields) - used == {"flat_sd", "beats", "min_leads", "min_duration", "policy"}


RAISE = {"RecordingError", "read_error", "_error", "error"}
"""Functions and classes whose first text argument is a reason code."""


def test_every_raised_code_has_a_text() -> None:
    """Return the literal codes with which readers, cleaning and preprocessing reject a recording."""
    raised = set()
    for file in [p for folder in ("io", "preprocessing", "signal") for p in (PACKAGE / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in RAISE:
                raised |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert {"missing_file", "checksum", "truncated", "unit", "too_short", "sampling_rate"} <= raised
    raised |= {"min_leads", "missing_leads"}
    assert raised - set(REASON_TEXTS) == set()
