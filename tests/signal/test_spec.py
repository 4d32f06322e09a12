"""Preprocessing settings: every field changes the fingerprint, and a mismatch error shows both sides."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ecgssl.errors import ContractMismatch
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import CleanSpec, NormaliseSpec, SignalSpec

CHANGES = {
    "leads": SignalSpec(leads=LEADS[:8]),
    "leads order": SignalSpec(leads=LEADS[::-1]),
    "sampling_rate": SignalSpec(sampling_rate=250),
    "duration": SignalSpec(duration=5),
    "crop": SignalSpec(crop="center"),
    "missing_leads": SignalSpec(missing_leads="reject"),
    "clean.method": SignalSpec(clean=CleanSpec(method="neurokit")),
    "clean.band low": SignalSpec(clean=CleanSpec(band=(0.67, 40))),
    "clean.band high": SignalSpec(clean=CleanSpec(band=(0.5, 45))),
    "clean.order": SignalSpec(clean=CleanSpec(order=3)),
    "clean.mains": SignalSpec(clean=CleanSpec(mains=50)),
    "clean.support": SignalSpec(clean=CleanSpec(support=1.5)),
    "normalise.method": SignalSpec(normalise=NormaliseSpec(method="lead")),
    "normalise.floor": SignalSpec(normalise=NormaliseSpec(floor=0.05)),
}


def test_every_field_changes_the_fingerprint() -> None:
    prints = {spec.fingerprint for spec in CHANGES.values()} | {SignalSpec().fingerprint}
    assert len(prints) == len(CHANGES) + 1
    # a new field must be added to the list above, except windows, which does not change how a window is processed
    fields = {f"{k}" for k in SignalSpec.model_fields} - {"clean", "normalise", "unit", "windows"}
    fields |= {f"clean.{k}" for k in CleanSpec.model_fields} | {f"normalise.{k}" for k in NormaliseSpec.model_fields}
    assert fields == {name.split(" ")[0] for name in CHANGES}


def test_the_choice_of_windows_leaves_the_fingerprint_of_earlier_releases() -> None:
    assert SignalSpec(windows="all").fingerprint == SignalSpec().fingerprint
    earlier = SignalSpec(normalise=NormaliseSpec(method="recording"))
    assert earlier.fingerprint.startswith("8de7a6cf61cb")


def test_the_version_of_the_cleaning_code_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SignalSpec().fingerprint
    monkeypatch.setattr("ecgssl.signal.spec.CLEANING_VERSION", 999)
    assert SignalSpec().fingerprint != before


@pytest.mark.parametrize("spec", CHANGES.values(), ids=CHANGES.keys())
def test_json_round_trip(spec: SignalSpec) -> None:
    again = SignalSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.fingerprint == spec.fingerprint


def test_mismatch_lists_each_field_with_both_sides() -> None:
    here = SignalSpec(sampling_rate=250, clean=CleanSpec(band=(0.67, 40)))
    with pytest.raises(ContractMismatch) as caught:
        here.require_same(SignalSpec(), "store data/processed", "bundle exports/encoder")
    message = str(caught.value)
    assert len(caught.value.problems) == 2
    for part in ("store data/processed", "bundle exports/encoder", "sampling_rate", "250.0", "100.0", "clean.band"):
        assert part in message
    assert "0.67" in message
    assert "0.5" in message


def test_equal_contracts_pass() -> None:
    SignalSpec().require_same(SignalSpec(leads=["i", "II", "iii", "AVR", *LEADS[4:]]), "a", "b")


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(ContractMismatch, match="version 0 of the cleaning code"):
        SignalSpec.from_dict({**SignalSpec().to_dict(), "cleaning_version": 0}, "spec.json")


@pytest.mark.parametrize(
    "bad",
    [
        {"leads": ["I", "X9"]}, {"leads": ["I", "i"]}, {"leads": []}, {"sampling_rate": 60}, {"duration": 10.003},
        {"clean": {"band": (40, 0.5)}}, {"colour": "pink"}, {"unit": "uV"},
    ],
)  # fmt: skip
def test_nonsense_is_refused(bad: dict) -> None:
    with pytest.raises(ValidationError):
        SignalSpec(**bad)
