"""Quality checks of a recording: quality figures, findings, lead masks and rejection.

``assess_raw`` checks a recording before cleaning and returns the signal to clean. ``assess_cleaned`` checks voltages,
noise, lead order and beats after cleaning. R-peaks are detected (``ecgssl.signal.r_peaks``) in one lead that passed the
other checks. If there are none, the finding is ``no_beats``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.beats import beat_lead, high_frequency, template_match
from ecgssl.signal.findings import Finding
from ecgssl.signal.lead_order import difference, lead_order, second_moments
from ecgssl.signal.leads import LIMB_LEADS, centred_residual
from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.r_peaks import r_peaks
from ecgssl.signal.raw_figures import bridge, raw_figures
from ecgssl.signal.reasons import ReasonCode
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.windows import samples_after, window_start


@dataclass(frozen=True)
class Quality:
    """Result of the quality checks of one recording.

    A quality figure is a measured value, such as noise in mV. Most of them are compared with a limit.

    Args:
        figures: values of the quality figures by name; NaN if undefined. For figures of single leads, the value of the
            worst lead.
        findings: quality figures outside their limits, and interpolated gaps.
        lead_mask: (leads,) bool, true for leads that are present and usable.
        rejected: reason codes of the rejection joined by ";", or ``None`` if the recording is accepted. Possible
            codes are those with policy ``reject``, and ``min_leads`` and ``missing_leads``.
    """

    figures: dict[str, float]
    findings: tuple[Finding, ...]
    lead_mask: NDArray[np.bool_]
    rejected: str | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Distinct reason codes of the findings, in order of first occurrence."""
        return tuple(dict.fromkeys(finding.code for finding in self.findings))


def assess_raw(
    raw: NDArray[np.float32],
    sampling_rate: float,
    lead_mask: NDArray[np.bool_],
    measured: NDArray[np.bool_],
    params: QualityParams,
    spec: SignalSpec,
    part: tuple[slice, slice] | None = None,
) -> tuple[Quality, NDArray[np.float32]]:
    """Check a recording before cleaning.

    The checks use only the part of the recording that is kept. For gaps, this part is extended by the support of the
    cleaning filter.

    Args:
        raw: (leads, samples) in mV, in the order of ``spec.leads``; missing values are NaN.
        sampling_rate: sampling rate in Hz.
        lead_mask: (leads,) true where a lead is present.
        measured: (leads,) true where a lead was recorded, not derived (``ecgssl.signal.leads.measured``).
        params: limits and policy.
        spec: preprocessing settings.
        part: sample ranges to check, as returned by ``kept_part``; by default those of the part that ``crop`` keeps.

    Returns:
        The quality before cleaning, and the signal to clean. The signal is finite, and masked leads are zero. Gaps up
        to ``params.nan_fraction`` are interpolated linearly and reported as finding ``nan``.
    """
    present = np.asarray(lead_mask, dtype=bool)
    kept, reach = part or kept_part(raw.shape[1], sampling_rate, spec)
    with np.errstate(over="ignore", invalid="ignore"):
        means = raw[:, kept].mean(axis=1, keepdims=True)
    signal, gaps = raw, np.zeros(len(raw))
    # if the means of the whole recording are finite, all samples are finite
    if kept != slice(0, raw.shape[1]) or not np.isfinite(means).all():
        finite = np.isfinite(raw)
        signal = bridge(raw, finite)
        gaps = 1.0 - finite[:, reach].mean(axis=1) if signal is not raw else gaps
    found = raw_figures(signal[:, kept], sampling_rate, means if signal is raw else None)
    silence = np.where(found.deviation > params.flat_sd, found.silence, (kept.stop - kept.start) / sampling_rate)

    sources = [i for i, lead in enumerate(spec.leads) if lead in LIMB_LEADS and measured[i]][:2]
    derived = present & ~measured
    # report one finding per fault: leads with gaps are not checked further, flat leads not for saturation, wander or mains
    gappy = gaps > params.nan_fraction
    flat = ~gappy & ((silence > params.flat_seconds) | ~(found.deviation > params.flat_sd))
    railed = np.where(gappy | flat, 0.0, found.railed)
    lead_figures: dict[ReasonCode, tuple[NDArray[np.bool_], NDArray[np.floating]]] = {
        "nan": (gappy, gaps),
        "flat": (flat, silence),
        "railed": (railed > params.railed_fraction, railed),
        "wander": (~gappy & ~flat & (found.wander > params.wander), found.wander),
        "mains": (~gappy & ~flat & (found.mains > params.mains), found.mains),
    }
    findings: list[Finding] = []
    usable = present
    for code, (past, values) in lead_figures.items():
        if not past.any():
            continue
        if code in ("nan", "flat", "railed"):
            # a derived lead has the faults of the two leads from which it is computed
            past[derived] |= bool(past[sources].any())
        findings += [Finding(code, spec.leads[i], float(values[i])) for i in (past & present).nonzero()[0]]
        usable = usable & ~past if params.policy[code] == "mask" else usable

    sound = present & measured & ~gappy & ~flat
    residual = centred_residual(found.centred, _named(sound, spec))
    if residual > params.limb_residual:
        findings.append(Finding("limb_law", None, residual))
    # flat leads are not used to detect a wrong unit, unless all leads are flat
    loud = present & ~gappy & ~flat
    spans = found.span[loud if loud.any() else present & (found.span > 0)]
    span = _median(spans)
    if not params.span[0] <= span <= params.span[1] and spans.size:
        findings.append(Finding("unit_suspect", None, span))
    refused = _refused(findings, params)
    if signal is not raw:
        bridged = present & (gaps > 0) & ~gappy
        findings += [Finding("nan", spec.leads[i], float(gaps[i])) for i in bridged.nonzero()[0]]

    worst = _worst(present, gaps, found.silence, railed, -found.deviation, found.wander, found.mains)
    figures = {
        "leads": float(np.count_nonzero(usable)),
        "nan_fraction": worst[0],
        "flat_seconds": worst[1],
        "railed_fraction": worst[2],
        "lowest_sd": -worst[3],
        "span": span,
        "wander": worst[4],
        "mains": worst[5],
        "limb_residual": residual,
    }
    quality = Quality(figures, tuple(findings), usable, _verdict(refused, usable, params, spec))
    return quality, signal if usable.all() else np.where(usable[:, None], signal, np.float32(0.0))


def assess_cleaned(cleaned: NDArray[np.float32], quality: Quality, params: QualityParams, spec: SignalSpec) -> Quality:
    """Check the voltages, noise, lead order and beats of a cleaned and cropped recording.

    Args:
        cleaned: (leads, samples) in mV at ``spec.sampling_rate``, recorded samples only.
        quality: result of ``assess_raw`` for the same recording.
        params: limits and policy.
        spec: preprocessing settings.

    Returns:
        The quality with figures and findings of both steps. ``heart_rate`` is 60 s divided by the median RR interval,
        in beats per minute. ``template_match`` is the result of the function with this name. Both are NaN if
        ``params.beats`` is ``none``, or for finding ``no_beats`` (no usable lead or fewer than two complete beats).
        Leads that are masked in this step must be set to zero before the recording is stored.
    """
    present = quality.lead_mask
    sound = present & ~_concerned(quality.findings, ("flat", "nan"), spec) if quality.findings else present
    peak = np.abs(cleaned).max(axis=1)
    noise, sharpness = high_frequency(cleaned, spec.sampling_rate)
    names = _named(sound, spec)
    moments = second_moments(cleaned)
    apart = difference(moments, names)
    order = lead_order(moments, names)
    lead_figures: dict[ReasonCode, tuple[NDArray[np.bool_], NDArray[np.floating]]] = {
        "amplitude": (peak > params.amplitude, peak),
        "hf_noise": (noise > params.hf_noise, noise),
        "identical": (apart <= params.identical, apart),
    }
    if order.chest_swap > params.chest_swap:
        paired = np.array([lead in order.chest_pair for lead in spec.leads])
        lead_figures["chest_swap"] = (paired, np.full(len(paired), order.chest_swap))
    findings: list[Finding] = []
    usable = present
    for code, (past, values) in lead_figures.items():
        if not past.any():
            continue
        findings += [Finding(code, spec.leads[i], float(values[i])) for i in (past & present).nonzero()[0]]
        usable = usable & ~past if params.policy[code] == "mask" else usable
    if order.limb_swap > params.limb_swap:
        findings.append(Finding("limb_swap", None, order.limb_swap))
    amplitude, loudest = _worst(present, peak, noise)
    compared = apart[np.isfinite(apart)]
    figures = {
        "amplitude": amplitude,
        "hf_noise": loudest,
        "lead_difference": float(compared.min()) if compared.size else float("nan"),
        "limb_swap": order.limb_swap,
        "chest_swap": order.chest_swap,
    }
    beats = dict.fromkeys(("beats", "heart_rate", "template_match"), float("nan"))
    if params.beats != "none":
        passed = usable & sound & ~(peak > params.amplitude)
        lead = beat_lead(spec.leads, passed, noise, sharpness, params.hf_noise)
        found, more = _beats(cleaned, lead, params, spec)
        beats |= found
        findings += more
    refused = _refused(findings, params) | set(quality.rejected.split(";") if quality.rejected else ())
    return Quality(
        figures={**quality.figures, **figures, **beats, "leads": float(np.count_nonzero(usable))},
        findings=quality.findings + tuple(findings),
        lead_mask=usable,
        rejected=_verdict(refused, usable, params, spec),
    )


def _beats(
    cleaned: NDArray[np.float32], lead: str | None, params: QualityParams, spec: SignalSpec
) -> tuple[dict[str, float], list[Finding]]:
    """Return the figures of the beats in a lead, without undefined ones, and the findings."""
    if lead is None:
        return {"beats": 0.0}, [Finding("no_beats", None, 0.0)]
    row = cleaned[spec.leads.index(lead)]
    peaks = r_peaks(row, spec.sampling_rate)
    figures = {"beats": float(peaks.size)}
    match = template_match(row, peaks, spec.sampling_rate)
    if np.isnan(match):
        return figures, [Finding("no_beats", lead, float(peaks.size))]
    rate = 60.0 * spec.sampling_rate / _median(np.diff(peaks))
    findings: list[Finding] = []
    if not params.heart_rate[0] <= rate <= params.heart_rate[1]:
        findings.append(Finding("heart_rate", lead, rate))
    if match < params.template_match:
        findings.append(Finding("noisy", lead, match))
    return figures | {"heart_rate": rate, "template_match": match}, findings


def neurokit_clean(signal: NDArray[np.float32], sampling_rate: float, method: str) -> NDArray[np.float32]:
    """Return the leads cleaned by neurokit2, for comparison with ``ecgssl.signal.cleaning``.

    Args:
        signal: (leads, samples) in mV, finite.
        sampling_rate: sampling rate in Hz.
        method: name of a cleaning method of ``neurokit2.ecg_clean``.

    Returns:
        (leads, samples) float32 in mV at the same sampling rate.
    """
    import neurokit2

    rows = [neurokit2.ecg_clean(row, sampling_rate=sampling_rate, method=method) for row in signal]
    return np.asarray(rows, dtype=np.float32)


def kept_part(samples: int, sampling_rate: float, spec: SignalSpec, window: int | None = None) -> tuple[slice, slice]:
    """Return the sample range of a raw recording that ``crop`` keeps, and this range extended by the filter support.

    Args:
        samples: length of the raw recording.
        sampling_rate: its sampling rate in Hz.
        spec: preprocessing settings.
        window: number of one of the complete windows of a long recording, see ``crop``.
    """
    length = min(samples, round(spec.duration * sampling_rate))
    if window is None:
        start = (samples - length) // 2 if spec.crop == "center" else 0
    else:
        cleaned = samples_after(samples, sampling_rate, spec)
        start = round(window_start(cleaned, spec, window) * sampling_rate / spec.sampling_rate)
    beyond = round(spec.clean.support * sampling_rate)
    return slice(start, start + length), slice(max(0, start - beyond), start + length + beyond)


def _concerned(findings: tuple[Finding, ...], codes: tuple[str, ...], spec: SignalSpec) -> NDArray[np.bool_]:
    leads = {finding.lead for finding in findings if finding.code in codes}
    return np.array([lead in leads for lead in spec.leads])


def _named(rows: NDArray[np.bool_], spec: SignalSpec) -> tuple[str, ...]:
    """Return the lead names of the selected rows, with an empty string for the other rows."""
    if rows.all():
        return spec.leads
    return tuple(lead if counts else "" for lead, counts in zip(spec.leads, rows, strict=True))


def _median(values: NDArray[Any]) -> float:
    """Return the median, or NaN for an empty array. For few values, it is ten times as fast as ``numpy.median``."""
    if not values.size:
        return float("nan")
    ordered = np.sort(values)
    return float((ordered[values.size // 2] + ordered[-1 - values.size // 2]) / 2)


def _worst(present: NDArray[np.bool_], *figures: NDArray[np.floating]) -> list[float]:
    """Return the largest value of each figure over the present leads; NaN if there are none."""
    if not present.any():
        return [float("nan")] * len(figures)
    # one maximum over all figures takes a third of the time of one for each figure
    return [float(value) for value in np.array(figures, dtype=np.float64)[:, present].max(axis=1)]


def _refused(findings: list[Finding], params: QualityParams) -> set[str]:
    return {finding.code for finding in findings if params.policy[finding.code] == "reject"}


def _verdict(codes: set[str], usable: NDArray[np.bool_], params: QualityParams, spec: SignalSpec) -> str | None:
    refused = codes - {"min_leads", "missing_leads"}
    if np.count_nonzero(usable) < min(params.min_leads, len(spec.leads)):
        refused.add("min_leads")
    if spec.missing_leads == "reject" and not usable.all():
        refused.add("missing_leads")
    return ";".join(sorted(refused)) or None
