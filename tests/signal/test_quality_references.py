"""Quality checks compared with plain references: loops over leads and samples in double precision."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from held_samples import held_share
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.preprocessing.prepare import _quantise
from ecgssl.signal.beats import high_frequency
from ecgssl.signal.cleaning import clean
from ecgssl.signal.lead_order import CHEST_PAIRS, INDEPENDENT, USUAL, difference, lead_order, second_moments
from ecgssl.signal.leads import LEADS, LIMB_LEADS, LIMB_MATRIX, arrange, centred_residual, limb_residual
from ecgssl.signal.quality import assess_cleaned, assess_raw
from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.raw_figures import STILL, raw_figures
from ecgssl.signal.spec import SignalSpec

SEEDS = st.integers(0, 2**32 - 1)
ALL = np.ones(12, dtype=bool)
PARAMS = QualityParams(beats="none")


def signal_of(seed: int, leads: int, samples: int) -> np.ndarray:
    """Leads on a grid of 5 uV, some with flat segments, some clipped, some constant or with an offset."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, rng.choice([0.003, 0.1, 1.0], (leads, 1)), (leads, samples)).cumsum(axis=1) / 3
    for row in signal:
        begin = rng.integers(samples)
        kind = rng.integers(5)
        if kind == 0:
            row[begin : begin + rng.integers(1, samples + 1)] = row[begin]
        elif kind == 1:
            row[:] = np.clip(row, *np.sort(rng.choice(row, 2)))
        elif kind == 2:
            row[:] = rng.integers(-2, 3)
        row += rng.choice([0.0, 0.0, 5.0, -40.0])
    return (np.round(signal / 0.005) * 0.005).astype(np.float32)


def upper_median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def plain_figures(row: np.ndarray, rate: float) -> dict[str, float]:
    """The figures of one lead from the definitions in ``RawFigures``, in double precision."""
    # the limit of a flat segment is one step of the grid, so the offset is removed in single precision as in the check
    lead = (row - row.mean(dtype=np.float32)).astype(np.float64)
    width = min(max(1, round(0.2 * rate)), lead.size)
    pieces = [lead[i : i + width] for i in range(0, lead.size - width + 1, width)]
    longest = run = 0
    for piece in pieces:
        run = run + 1 if np.float32(piece.max()) - np.float32(piece.min()) <= np.float32(STILL) else 0
        longest = max(longest, run)
    group = min(10, len(pieces))
    joined = [np.concatenate(pieces[i : i + group]) for i in range(0, len(pieces) - group + 1, group)]
    seconds = [np.mean(pieces[i : i + 5]) for i in range(0, len(pieces) - 4, 5)]
    mains = []
    for hertz in (50.0, 60.0):
        if width > 1 and rate / 2 > hertz + 5:
            turn = np.exp(2j * np.pi * hertz / rate * np.arange(width))
            window = 1 - np.cos(2 * np.pi * (np.arange(width) + 0.5) / width)
            mains.append(upper_median([abs(np.sum(piece * window * turn)) * 2 / width for piece in pieces]))
    return {
        "deviation": math.sqrt(np.mean(lead**2)),
        "silence": longest * width / rate,
        "railed": held_share(lead),
        "span": upper_median([np.ptp(part) for part in joined]),
        "wander": max(seconds) - min(seconds) if len(seconds) > 1 else math.nan,
        "mains": max(mains) if mains else math.nan,
    }


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, leads=st.integers(1, 6), samples=st.integers(1, 700), rate=st.sampled_from([25.0, 100.0, 257.0]))
def test_raw_figures(seed: int, leads: int, samples: int, rate: float) -> None:
    signal = signal_of(seed, leads, samples)
    found = raw_figures(signal, rate)
    again = raw_figures(signal, rate, signal.mean(axis=1, keepdims=True))
    for name in ("deviation", "silence", "railed", "span", "wander", "mains"):
        values = [plain_figures(row, rate)[name] for row in signal]
        tolerance = {"silence": 1e-6, "railed": 1e-7}.get(name, 1e-4 * max(1.0, float(np.abs(signal).max())))
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-4, atol=tolerance, err_msg=name)
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    bad=st.sampled_from([None, np.nan, np.inf, -np.inf, 3e38]),
    where=st.sampled_from(["kept", "reach", "beyond"]),
    nan_fraction=st.sampled_from([0.0, 0.5]),
)
def test_gaps_and_findings_of_the_raw_signal(seed: int, bad: float | None, where: str, nan_fraction: float) -> None:
    """The recording has 30 s, of which the middle 10 s are kept; the filter reaches a few seconds beyond them."""
    rng = np.random.default_rng(seed)
    rate, spec, params = 50.0, SignalSpec(crop="center"), QualityParams(beats="none", nan_fraction=nan_fraction)
    signal = signal_of(seed, 12, 1500)
    places = {"kept": 750, "reach": 490, "beyond": 3}
    rows = rng.choice(12, 2, replace=False)
    if bad is not None:
        signal[rows, places[where]] = bad
    with np.errstate(all="ignore"):
        quality, ready = assess_raw(signal, rate, ALL, ALL, params, spec)
        missing = ~np.isfinite(
            signal[:, 500 - round(spec.clean.support * rate) : 1000 + round(spec.clean.support * rate)]
        )
        counted = [row.sum() / row.size for row in missing]
        whole = [np.interp(np.arange(1500), (good := np.isfinite(row)).nonzero()[0], row[good]) for row in signal]
        bridged = np.array(whole, dtype=np.float32)
        figures = [plain_figures(row[500:1000], rate) for row in bridged]
    assert quality.figures["nan_fraction"] == pytest.approx(max(counted), abs=1e-9)
    gaps = {f.lead for f in quality.findings if f.code == "nan"}
    assert gaps == {LEADS[i] for i in range(12) if counted[i] > 0}
    gappy = [fraction > params.nan_fraction for fraction in counted]
    flat = [f["silence"] > params.flat_seconds or f["deviation"] <= params.flat_sd for f in figures]
    railed = [f["railed"] > params.railed_fraction for f in figures]
    if bad != 3e38:
        # a deviation at the limit can differ by rounding
        assert {f.lead for f in quality.findings if f.code == "flat"} == {
            LEADS[i] for i in range(12) if flat[i] and not gappy[i]
        }
        assert {f.lead for f in quality.findings if f.code == "railed"} == {
            LEADS[i] for i in range(12) if railed[i] and not flat[i] and not gappy[i]
        }
        used = [not (gappy[i] or flat[i] or railed[i]) for i in range(12)]
        assert quality.lead_mask.tolist() == used
        assert quality.figures["leads"] == sum(used)
        np.testing.assert_array_equal(ready, np.where(np.array(used)[:, None], bridged, 0))


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, names=st.lists(st.sampled_from([*LEADS, "-aVR", "Vx"]), min_size=1, max_size=12, unique=True))
def test_rows_are_arranged(seed: int, names: list[str]) -> None:
    signal = np.random.default_rng(seed).standard_normal((len(names), 7)).astype(np.float32)
    recorded = {
        name.removeprefix("-"): row * (-1 if name[0] == "-" else 1) for name, row in zip(names, signal, strict=True)
    }
    recorded.pop("Vx", None)
    if {"aVR", "-aVR"} <= set(names):
        recorded["aVR"] = signal[names.index("aVR")]  # -aVR is not used if aVR is recorded
    limb = [lead for lead in LIMB_LEADS if lead in recorded][:2]
    for copy in (True, False):
        out, there = arrange(signal, names, copy=copy)
        for i, lead in enumerate(LEADS):
            if lead in recorded:
                np.testing.assert_array_equal(out[i], recorded[lead])
            elif lead in LIMB_LEADS and len(limb) == 2:
                pair = LIMB_MATRIX[[LIMB_LEADS.index(name) for name in limb]]
                one_two = np.linalg.solve(pair, np.stack([recorded[name] for name in limb]))
                np.testing.assert_allclose(out[i], LIMB_MATRIX[LIMB_LEADS.index(lead)] @ one_two, atol=1e-5)
            else:
                assert not out[i].any()
            assert there[i] == (lead in recorded or (lead in LIMB_LEADS and len(limb) == 2))
        assert not (copy and np.shares_memory(out, signal))
    assert np.shares_memory(arrange(signal, LEADS[: len(signal)], LEADS[: len(signal)], copy=False)[0], signal)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, named=st.lists(st.booleans(), min_size=12, max_size=12), reverse=st.booleans())
def test_limb_residual(seed: int, named: list[bool], reverse: bool) -> None:
    signal = signal_of(seed, 12, 60)
    names = [lead if there else "" for lead, there in zip(LEADS[:: -1 if reverse else 1], named, strict=True)]
    rows = [i for i, lead in enumerate(names) if lead in LIMB_LEADS]
    centred = signal - signal.mean(axis=1, keepdims=True)
    values = [limb_residual(signal, names), centred_residual(centred, names)]
    limb = signal[rows].astype(np.float64)
    limb -= limb.mean(axis=1, keepdims=True)
    if len(rows) < 3 or not np.square(limb).sum() > 1e-6:
        return
    matrix = LIMB_MATRIX[[LIMB_LEADS.index(names[i]) for i in rows]]
    apart = limb - matrix @ np.linalg.lstsq(matrix, limb, rcond=None)[0]
    assert values == pytest.approx([np.sqrt(np.square(apart).sum() / np.square(limb).sum())] * 2, abs=2e-4)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, named=st.lists(st.booleans(), min_size=12, max_size=12), all_named=st.booleans())
def test_difference_and_lead_order(seed: int, named: list[bool], all_named: bool) -> None:
    rng = np.random.default_rng(seed)
    cleaned = (rng.standard_normal((12, 12)) @ rng.standard_normal((12, 200))).astype(np.float32)
    cleaned[rng.integers(12)] = cleaned[rng.integers(12)]
    names = [lead if there or all_named else "" for lead, there in zip(LEADS, named, strict=True)]
    moments = second_moments(cleaned)
    double = cleaned.astype(np.float64)
    for i, value in enumerate(difference(moments, names)):
        pairs = [
            math.sqrt(np.mean((double[i] - double[j]) ** 2) / max(np.mean(double[i] ** 2), np.mean(double[j] ** 2)))
            for j in range(12)
            if j != i and names[i] and names[j] and not {names[i], names[j]} <= set(LIMB_LEADS)
        ]
        assert value == pytest.approx(min(pairs, default=math.nan), abs=2e-3, nan_ok=True)
    order = lead_order(moments, names)
    if not set(INDEPENDENT) <= set(names):
        assert math.isnan(order.chest_swap)
        return
    rows = [LEADS.index(lead) for lead in INDEPENDENT]
    precision = np.linalg.inv(USUAL + 0.05 / 8 * np.eye(8))
    gains = []
    for window in np.split(double[rows], 5, axis=1):
        distance = np.mean([sample @ precision @ sample for sample in window.T])
        undone = []
        for pair in CHEST_PAIRS:
            first, second = (INDEPENDENT.index(lead) for lead in pair)
            swapped = window.copy()
            swapped[[first, second]] = window[[second, first]]
            undone.append(1 - np.mean([sample @ precision @ sample for sample in swapped.T]) / distance)
        gains.append(undone)
    assert order.chest_swap == pytest.approx(np.median(gains, axis=0).max(), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, samples=st.integers(2, 400), rate=st.sampled_from([100.0, 257.0]))
def test_noise_between_beats(seed: int, samples: int, rate: float) -> None:
    cleaned = np.random.default_rng(seed).standard_normal((3, samples)).astype(np.float32)
    lag, length = round(0.01 * rate), round(0.05 * rate)
    if samples <= 2 * lag:
        return
    for row, noise, sharpness in zip(cleaned.astype(np.float64), *high_frequency(cleaned, rate), strict=True):
        steps = [row[i + 2 * lag] - 2 * row[i + lag] + row[i] for i in range(samples - 2 * lag)]
        power = [
            sum(step**2 for step in steps[i : i + length]) / (6 * length)
            for i in range(0, len(steps) - length + 1, length)
        ]
        if not power:
            assert noise == sharpness == 0
            continue
        group = min(20, len(power))
        seconds = [sorted(power[i : i + group]) for i in range(0, len(power) - group + 1, group)]
        assert noise == pytest.approx(math.sqrt(max(second[group // 4] for second in seconds)), rel=1e-4)
        ordered = sorted(power)
        ratio = ordered[int(0.93 * len(power))] / ordered[len(power) // 2]
        assert sharpness == pytest.approx(math.sqrt(ratio), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, mask=st.lists(st.booleans(), min_size=12, max_size=12))
def test_worst_figures_of_the_cleaned_signal(seed: int, mask: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    spec, there = SignalSpec(), np.array(mask)
    cleaned = rng.normal(0, rng.choice([0.01, 1.0, 6.0], (12, 1)), (12, 1000)).astype(np.float32)
    cleaned[~there] = 0
    raw, _ = assess_raw(cleaned, 100.0, there, there, PARAMS, spec)
    found = assess_cleaned(cleaned, raw, PARAMS, spec)
    kept = [i for i in range(12) if raw.lead_mask[i]]
    peaks = {i: max(abs(float(value)) for value in cleaned[i]) for i in kept}
    noise = high_frequency(cleaned, 100.0)[0]
    nothing = pytest.approx(math.nan, nan_ok=True)
    assert found.figures["amplitude"] == (max(peaks.values()) if kept else nothing)
    assert found.figures["hf_noise"] == (max(float(noise[i]) for i in kept) if kept else nothing)
    codes = {"amplitude": [], "hf_noise": []}
    for finding in found.findings:
        if finding.code in codes:
            codes[finding.code].append(finding.lead)
    assert codes["amplitude"] == [LEADS[i] for i in kept if peaks[i] > PARAMS.amplitude]
    assert codes["hf_noise"] == [LEADS[i] for i in kept if noise[i] > PARAMS.hf_noise]
    assert all(math.isnan(found.figures[name]) for name in ("beats", "heart_rate", "template_match"))
    if codes["amplitude"]:
        assert "amplitude" in found.rejected.split(";")


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=30), lsb=st.sampled_from([0.001, 0.0025]))
def test_steps_are_rounded_and_clipped(values: list[float], lsb: float) -> None:
    out = np.full((1, 32), 7, dtype=np.int16)
    clipped = _quantise(np.array([values], dtype=np.float32), lsb, out)
    # Python rounds a half to the even number, as numpy.rint
    steps = [round(float(np.float32(value) / np.float32(lsb))) for value in values]
    assert clipped == sum(abs(step) > 32767 for step in steps)
    assert out[0].tolist() == [min(max(step, -32767), 32767) for step in steps] + [0] * (32 - len(steps))


@settings(max_examples=30, deadline=None)
@given(value=st.sampled_from([np.nan, np.inf, -np.inf, 3.4e38]), lead=st.integers(0, 2), place=st.integers(0, 499))
def test_cleaning_refuses_values_that_are_not_finite(value: float, lead: int, place: int) -> None:
    signal = np.zeros((3, 500), dtype=np.float32)
    signal[lead, place] = value
    if math.isfinite(value):
        with np.errstate(all="ignore"):
            clean(signal, 100.0, SignalSpec())
        return
    for other in (0.0, math.copysign(np.inf, -value)):  # infinities of both signs have no sum
        signal[lead, (place + 1) % 500] = other
        with pytest.raises(ValueError, match="NaN or infinity"):
            clean(signal, 100.0, SignalSpec())


def test_blocks_of_the_transposed_copy_cover_all_segments() -> None:
    """12 leads of 100 segments are transposed in five blocks; the largest values of every segment are at its start."""
    signal = np.zeros((12, 100 * 20), dtype=np.float32)
    signal[:, ::20] = np.arange(1, 1201).reshape(12, 100)
    found = raw_figures(signal, 100.0)
    parts = signal.reshape(12, 10, 200)
    np.testing.assert_allclose(found.span, np.sort(np.ptp(parts, axis=2), axis=1)[:, 5], rtol=1e-5)
    assert all(a < b for a, b in pairwise(found.deviation))
