"""Lead algebra compared with textbook formulas, from every pair of limb leads."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.signal.leads import (
    LEADS,
    LIMB_LEADS,
    arrange,
    canonical,
    identify_leads,
    lead_spellings,
    limb_residual,
    measured,
    named_lead,
)


def twelve(seed: int, samples: int = 200) -> np.ndarray:
    """Return I, II and chest leads of noise; the other limb leads follow from Einthoven's and Goldberger's laws."""
    rng = np.random.default_rng(seed)
    one, two, *chest = rng.standard_normal((8, samples))
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.array([*limb, *chest], dtype=np.float32)


@given(seed=st.integers(0, 2**32 - 1), pair=st.sampled_from(list(combinations(range(6), 2))))
def test_any_two_limb_leads_give_the_other_four(seed: int, pair: tuple[int, int]) -> None:
    full = twelve(seed)
    rows = [*pair, *range(6, 12)]
    got, mask = arrange(full[rows], [LEADS[i] for i in rows])
    assert mask.all()
    np.testing.assert_allclose(got, full, atol=2e-5)


@given(order=st.permutations(range(12)), seed=st.integers(0, 1000))
def test_leads_are_found_by_name_whatever_their_order(order: list[int], seed: int) -> None:
    full = twelve(seed)
    got, mask = arrange(full[order], [LEADS[i] for i in order])
    assert mask.all()
    np.testing.assert_array_equal(got, full)


@pytest.mark.parametrize(
    ("spelling", "lead"),
    [
        ("AVR", "aVR"), ("avl", "aVL"), ("MDC_ECG_LEAD_AVF", "aVF"), ("Lead II", "II"), (" v6 ", "V6"), ("i", "I"),
        ("ECG II", "II"), ("ECG lead II", "II"), ("ekg-v1", "V1"), ("II ECG", "II"), ("Lead I (Einthoven)", "I"),
        ("DI", "I"), ("dii", "II"), ("D3", "III"), ("C4", "V4"), ("MDC_ECG_LEAD_C4", "V4"), ("Ableitung III", "III"),
        ("Dérivation II", "II"), ("\u2161", "II"), ("\uff36\uff11", "V1"),
        ("vx", None), ("Z", None), ("II II", None), ("ECG", None), ("-aVR", None), ("-I", None), ("V3R", None),
        ("V7", None), ("ECG 1", None), ("MLII", None), ("ECG II-REF", None), ("Derived Lead I", None),
    ],
)  # fmt: skip
def test_spellings(spelling: str, lead: str | None) -> None:
    assert canonical(spelling) == lead


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # chest electrodes by their IEC names, next to a limb lead
        ("I II C1 C2 C3 C4 C5 C6", "I II V1 V2 V3 V4 V5 V6"),
        ("D1 D2 D3 aVR aVL aVF V1", "I II III aVR aVL aVF V1"),
        ("D1 D2 C1 C2", "I II V1 V2"),
        # alone, or with leads V1 to V6, they are other signals
        ("C1 C2 C3 C4 C5 C6", "- - - - - -"),
        ("D1 D2", "- -"),
        ("I V1 C1 C2", "I V1 - -"),
        ("I V1 D1", "I V1 -"),
        # polysomnography: C3 and C4 are electrodes of the scalp
        ("II C3 C4 O1 O2", "II - - - -"),
        ("II C1 C2 C3 C4 EOG", "II - - - - -"),
        ("II C3 C4", "II - -"),
        ("II aVR -aVR", "II aVR -"),
    ],
)
def test_ambiguous_names_are_decided_by_the_other_names_of_the_file(names: str, expected: str) -> None:
    found = identify_leads(names.split())
    assert " ".join("-" if named is None else named.lead for named in found) == expected


@pytest.mark.parametrize("name", ["-aVR", "\u2212aVR", "\u2013AVR", "ECG -aVR", "Lead -aVR", "- avr"])
def test_the_inverted_lead_of_the_cabrera_order(name: str) -> None:
    full = twelve(1)
    got, mask = arrange(np.stack([full[1], -full[3]]), ["II", name])
    assert mask[:6].all()
    np.testing.assert_allclose(got[:6], full[:6], atol=2e-5)
    assert list(measured(["II", name])) == [lead in ("II", "aVR") for lead in LEADS]


def test_spellings_for_other_programs_mean_the_same_here() -> None:
    table = lead_spellings()
    assert table["ecg lead ii"] == table["dii"] == table["mdc_ecg_lead_ii"] == "II"
    for spelling, lead in table.items():
        named = named_lead(spelling)
        assert named is not None
        assert lead == ("-" if named.sign < 0 else "") + named.lead


def test_a_hyphen_after_ecg_is_a_separator() -> None:
    assert canonical("ECG-aVR") == "aVR"


def test_absent_leads_are_masked_zeros_and_frank_leads_ignored() -> None:
    full = twelve(0)
    got, mask = arrange(full[[1, 6, 7]], ["ii", "V1", "vx"])
    assert [lead for lead, there in zip(LEADS, mask, strict=True) if there] == ["II", "V1"]
    assert not got[~mask].any()


def test_a_lead_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="aVR occurs twice"):
        arrange(twelve(0)[:2], ["aVR", "AVR"])


def test_measured_tells_recorded_from_derived() -> None:
    names = ["i", "II", "V1"]
    _, mask = arrange(twelve(0)[:3], names)
    assert mask.sum() == 7
    assert [lead for lead, kept in zip(LEADS, measured(names), strict=True) if kept] == ["I", "II", "V1"]


@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-50, 50))
def test_residual_is_nothing_for_lawful_leads_and_any_offset(seed: int, offset: float) -> None:
    assert limb_residual(twelve(seed) + np.float32(offset)) < 1e-4


@pytest.mark.parametrize("fault", ["unit", "swapped", "cabrera"])
def test_residual_sees_faults(fault: str) -> None:
    signal = twelve(3)
    if fault == "unit":
        signal[2] *= 1000
    elif fault == "swapped":
        signal[[4, 5]] = signal[[5, 4]]
    else:
        signal[3] *= -1
    assert limb_residual(signal) > 0.3


def test_residual_is_undefined_without_three_limb_leads() -> None:
    assert np.isnan(limb_residual(twelve(0)[:2], LIMB_LEADS[:2]))
    assert np.isnan(limb_residual(np.zeros((12, 10), dtype=np.float32)))
