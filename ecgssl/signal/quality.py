"""Quality of one recording: figures, findings past their limits, and what follows by the policy of each reason code.

Two steps, because cleaning lies between them: ``assess_raw`` looks at what the device delivered and says which leads
can be cleaned, ``assess_cleaned`` looks at voltages and beats. Our own checks come first; neurokit2 (Makowski et al.
2021) only sees a lead that passed them, and its failure is a finding (``no_beats``), never a number.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import QualityParams, ReasonCode
from ecgssl.signal.leads import LIMB_LEADS, limb_residual
from ecgssl.signal.spec import SignalSpec

RHYTHM_LEADS = ("II", "I", "V5", "V4", "V6", "V3", "V2", "aVF", "III", "V1", "aVL", "aVR")
"""Where beats are looked for, best first: upright R waves before inverted ones."""

_BEAT = (-0.25, 0.4)
_RUN = 3


@dataclass(frozen=True)
class Finding:
    """One figure past its limit.

    Args:
        code: reason code, a key of ``QualityParams.policy``.
        lead: the lead concerned; ``None`` for the whole recording.
        value: the figure; NaN where there is none.
    """

    code: ReasonCode
    lead: str | None
    value: float


@dataclass(frozen=True)
class Quality:
    """What is known of one recording's quality.

    Args:
        figures: by name; NaN where undefined. Fractions and amplitude are those of the worst lead.
        findings: every figure past its limit.
        lead_mask: (leads,) the leads that are present and usable.
        rejected: ";"-joined reason codes for which the recording is refused, ``None`` where it is kept. Besides those
            of the policy: ``min_leads`` and ``missing_leads``.
    """

    figures: dict[str, float]
    findings: tuple[Finding, ...]
    lead_mask: NDArray[np.bool_]
    rejected: str | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Codes of all findings, each once, in the order of their finding."""
        return tuple(dict.fromkeys(finding.code for finding in self.findings))


def assess_raw(
    raw: NDArray[np.float32],
    lead_mask: NDArray[np.bool_],
    measured: NDArray[np.bool_],
    params: QualityParams,
    spec: SignalSpec,
) -> tuple[Quality, NDArray[np.float32]]:
    """First step, on the recording as the device delivered it.

    Args:
        raw: (leads, samples) in mV, arranged in the order of ``spec.leads``; NaN for "no value".
        lead_mask: (leads,) true where a lead is present.
        measured: (leads,) true where a lead was recorded, not derived (``ecgssl.signal.leads.measured``).
        params: limits and policy.
        spec: the contract.

    Returns:
        The quality so far, and the signal that can be cleaned: finite, masked leads zero. Gaps within
        ``params.nan_fraction`` are bridged by straight lines, and found (``nan``).
    """
    present = np.asarray(lead_mask, dtype=bool)
    finite = np.isfinite(raw)
    gaps = 1.0 - finite.mean(axis=1)
    signal = raw if finite.all() else _bridge(raw, finite)
    deviation = signal.std(axis=1)

    sources = [i for i, lead in enumerate(spec.leads) if lead in LIMB_LEADS and measured[i]][:2]
    derived = present & ~measured
    # one fault, one name: gaps first, and a flat line sits at its extremes by nature
    gappy = gaps > params.nan_fraction
    flat = ~gappy & ~(deviation > params.flat_sd)
    railed = np.where(gappy | flat, 0.0, _railed(signal))
    bad: dict[ReasonCode, NDArray[np.bool_]] = {
        "nan": gappy,
        "flat": flat,
        "railed": railed > params.railed_fraction,
    }
    values: dict[ReasonCode, NDArray[np.floating]] = {"nan": gaps, "flat": deviation, "railed": railed}
    usable = present.copy()
    findings: list[Finding] = []
    for code, past in bad.items():
        # a derived lead is no better than the two it was made from
        past[derived] |= bool(past[sources].any())
        past &= present
        findings += [Finding(code, spec.leads[i], float(values[code][i])) for i in np.flatnonzero(past)]
        if params.policy[code] == "mask":
            usable &= ~past
    refused: set[str] = {f.code for f in findings if params.policy[f.code] == "reject"}
    bridged = present & (gaps > 0) & ~bad["nan"]
    findings += [Finding("nan", spec.leads[i], float(gaps[i])) for i in np.flatnonzero(bridged)]

    sound = present & measured & ~bad["nan"] & ~bad["flat"]
    residual = limb_residual(signal[sound], [lead for lead, keep in zip(spec.leads, sound, strict=True) if keep])
    if residual > params.limb_residual:
        findings.append(Finding("limb_law", None, residual))
        if params.policy["limb_law"] == "reject":
            refused.add("limb_law")
    figures = {
        "leads": float(usable.sum()),
        "nan_fraction": _worst(gaps[present]),
        "railed_fraction": _worst(railed[present]),
        "lowest_sd": -_worst(-deviation[present]),
        "limb_residual": residual,
    }
    quality = Quality(figures, tuple(findings), usable, _verdict(refused, usable, params, spec))
    return quality, np.where(usable[:, None], signal, np.float32(0.0)).astype(np.float32, copy=False)


def assess_cleaned(cleaned: NDArray[np.float32], quality: Quality, params: QualityParams, spec: SignalSpec) -> Quality:
    """Second step, on the cleaned and cropped signal: voltages and beats.

    Args:
        cleaned: (leads, samples) in mV at ``spec.sampling_rate``.
        quality: of the first step, not rejected.
        params: limits and policy.
        spec: the contract.

    Returns:
        The quality with both steps' figures and findings. ``heart_rate`` is in beats per minute (60 s over the median
        interval of R-peaks), ``template_match`` that of the function of this name; both NaN with fewer than two whole
        beats (``no_beats``). Where ``lead_mask`` lost a lead in this step, zero its row before storing.
    """
    peak = np.abs(cleaned).max(axis=1)
    high = quality.lead_mask & (peak > params.amplitude)
    findings = [Finding("amplitude", spec.leads[i], float(peak[i])) for i in np.flatnonzero(high)]
    usable = quality.lead_mask & ~high if params.policy["amplitude"] == "mask" else quality.lead_mask
    figures = {
        "amplitude": _worst(peak[quality.lead_mask]),
        "beats": 0.0,
        "heart_rate": np.nan,
        "template_match": np.nan,
    }

    candidates = [lead for lead in RHYTHM_LEADS if lead in spec.leads and (usable & ~high)[spec.leads.index(lead)]]
    peaks: NDArray[np.intp] = np.empty(0, dtype=np.intp)
    if candidates:
        row = cleaned[spec.leads.index(candidates[0])]
        peaks = r_peaks(row, spec.sampling_rate)
    figures["beats"] = float(peaks.size)
    match = template_match(row, peaks, spec.sampling_rate) if peaks.size else float("nan")
    if np.isnan(match):
        findings.append(Finding("no_beats", candidates[0] if candidates else None, float(peaks.size)))
    else:
        rate = 60.0 * spec.sampling_rate / float(np.median(np.diff(peaks)))
        figures |= {"heart_rate": rate, "template_match": match}
        if not params.heart_rate[0] <= rate <= params.heart_rate[1]:
            findings.append(Finding("heart_rate", candidates[0], rate))
        if match < params.template_match:
            findings.append(Finding("noisy", candidates[0], match))

    refused: set[str] = {f.code for f in findings if params.policy[f.code] == "reject"}
    refused |= set(quality.rejected.split(";")) if quality.rejected else set()
    return replace(
        quality,
        figures={**quality.figures, **figures, "leads": float(usable.sum())},
        findings=quality.findings + tuple(findings),
        lead_mask=usable,
        rejected=_verdict(refused, usable, params, spec),
    )


def r_peaks(lead: NDArray[np.float32], sampling_rate: float) -> NDArray[np.intp]:
    """R-peaks of one lead by neurokit2's own detector.

    Its cleaner is left out: the detector asks for a high-pass at 0.5 Hz, which the contract's cleaning is, and on real
    recordings the peaks agree with those of neurokit2's whole chain at 500 Hz as well as after cleaning twice.

    Args:
        lead: (samples,) in mV, cleaned.
        sampling_rate: Hz.

    Returns:
        Indices of the peaks; empty where none were found or neurokit2 failed.
    """
    import neurokit2

    try:
        with warnings.catch_warnings():
            # it takes means of nothing where nothing looks like a QRS complex
            warnings.simplefilter("ignore")
            found = neurokit2.ecg_findpeaks(lead, sampling_rate=sampling_rate, method="neurokit")["ECG_R_Peaks"]
    # it raises whatever its internals meet on odd input (IndexError, ValueError, ZeroDivisionError): no beats, then
    except Exception:
        found = ()
    return np.asarray(found, dtype=np.intp)


def template_match(lead: NDArray[np.float32], peaks: NDArray[np.intp], sampling_rate: float) -> float:
    """Mean Pearson correlation of each beat with the mean of the *other* beats, 0.25 s before to 0.4 s after its R-peak.

    After the template matching of Orphanidou et al. 2015 (doi:10.1109/JBHI.2014.2338351). A beat is kept out of its own
    template, because of few beats each would resemble it: white noise then reaches 0.8, left out it stays under 0.5.

    Args:
        lead: (samples,) in mV.
        peaks: indices of R-peaks.
        sampling_rate: Hz.

    Returns:
        -1 to 1; NaN with fewer than two whole beats.
    """
    window = np.arange(round(_BEAT[0] * sampling_rate), round(_BEAT[1] * sampling_rate) + 1)
    whole = peaks[(peaks + window[0] >= 0) & (peaks + window[-1] < lead.size)]
    if whole.size < 2:
        return float("nan")
    beats = lead[whole[:, None] + window].astype(np.float64)
    beats -= beats.mean(axis=1, keepdims=True)
    others = beats.sum(axis=0) - beats
    norms = np.linalg.norm(beats, axis=1) * np.linalg.norm(others, axis=1)
    if not (norms > 0).all():
        return float("nan")
    return float(np.mean(np.sum(beats * others, axis=1) / norms))


def neurokit_clean(signal: NDArray[np.float32], sampling_rate: float, method: str) -> NDArray[np.float32]:
    """Each lead through a cleaner of neurokit2, for comparison with ours.

    Args:
        signal: (leads, samples) in mV, finite.
        sampling_rate: Hz.
        method: as ``neurokit2.ecg_clean`` names it.

    Returns:
        (leads, samples) float32 in mV at the same rate.
    """
    import neurokit2

    rows = [neurokit2.ecg_clean(row, sampling_rate=sampling_rate, method=method) for row in signal]
    return np.asarray(rows, dtype=np.float32)


def _bridge(raw: NDArray[np.float32], finite: NDArray[np.bool_]) -> NDArray[np.float32]:
    signal = np.array(raw, dtype=np.float32)
    index = np.arange(raw.shape[1])
    for row, good in zip(signal, finite, strict=True):
        if not good.any():
            row[:] = 0.0
        elif not good.all():
            row[~good] = np.interp(index[~good], index[good], row[good])
    return signal


def _railed(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of samples at the lead's extremes, in runs too long to be the crest of a quantised wave."""
    extreme = [signal == signal.max(axis=1, keepdims=True), signal == signal.min(axis=1, keepdims=True)]
    share = np.zeros(signal.shape[0])
    if signal.shape[1] < _RUN:
        return share
    for at in extreme:
        # only rows where enough samples sit at the extreme can hold runs worth counting
        for i in np.flatnonzero(at.sum(axis=1) >= _RUN):
            run = np.logical_and.reduce([at[i, k : at.shape[1] - _RUN + 1 + k] for k in range(_RUN)])
            inside = np.zeros(at.shape[1], dtype=bool)
            for k in range(_RUN):
                inside[k : run.size + k] |= run
            share[i] += inside.mean()
    return np.minimum(share, 1.0)


def _worst(values: NDArray[np.floating]) -> float:
    return float(values.max()) if values.size else float("nan")


def _verdict(codes: set[str], usable: NDArray[np.bool_], params: QualityParams, spec: SignalSpec) -> str | None:
    refused = set(codes) - {"min_leads", "missing_leads"}
    if usable.sum() < min(params.min_leads, len(spec.leads)):
        refused.add("min_leads")
    if spec.missing_leads == "reject" and not usable.all():
        refused.add("missing_leads")
    return ";".join(sorted(refused)) or None
