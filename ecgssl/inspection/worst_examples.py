"""Selection of the worst recordings of each reason code in a store.

Recordings are identified only by their row in the cohort's table. ``ecgssl.inspection.worst_figure`` plots them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import QualityParams, ReasonCode
from ecgssl.csv_cells import original_frame
from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import RecordingError
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.findings import Finding, findings_from_cell
from ecgssl.signal.leads import LIMB_LEADS, LIMB_MATRIX, arrange, limb_residual
from ecgssl.signal.quality import kept_part
from ecgssl.signal.raw_figures import bridge
from ecgssl.signal.reasons import REASONS
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout

MOST = 3
"""Maximum number of examples per reason code."""

RAW_CODES: tuple[ReasonCode, ...] = ("nan", "flat", "railed", "wander", "mains", "unit_suspect", "limb_law")
"""Reason codes that are determined from the raw signal. Their examples show the raw signal."""
_OF_ALL: dict[ReasonCode, tuple[str, ...]] = {
    "unit_suspect": ("II", "V2"),
    "limb_swap": ("I", "II", "V6"),
}
"""Leads plotted for findings of the whole recording, by reason code. Lead II is plotted for other codes."""
BY_LAW = "\nby law"
"""Suffix of the label of a limb lead that is computed from the other limb leads."""


@dataclass(frozen=True)
class Example:
    """Example recording for a finding.

    Args:
        finding: most severe finding with this reason code in the recording.
        row: row number in the file of the cohort's table, whose header is row 1.
        rejected: true if the recording is rejected, for any reason.
        others: number of further leads with the same finding that are not plotted.
        leads: leads that are plotted; the suffix ``BY_LAW`` marks a lead computed from the other limb leads.
        traces: (leads, samples) in mV; NaN for missing values.
        sampling_rate: sampling rate in Hz.
        cleaned: true if the traces are the cleaned signal, false if they are the raw signal.
    """

    finding: Finding
    row: int
    rejected: bool
    others: int
    leads: tuple[str, ...]
    traces: NDArray[np.float32]
    sampling_rate: float
    cleaned: bool


@dataclass(frozen=True)
class Examples:
    """Worst examples of one reason code.

    Args:
        code: reason code.
        flagged, rejected: numbers of kept and rejected recordings with this reason code.
        worst: up to ``MOST`` examples, the worst first. Recordings that cannot be read or cleaned again are skipped.
    """

    code: ReasonCode
    flagged: int
    rejected: int
    worst: tuple[Example, ...]


def worst_examples(
    cohort: Cohort, store: Path | str, params: QualityParams, spec: SignalSpec
) -> tuple[list[Examples], dict[str, int]]:
    """Select and load the worst recordings of each reason code.

    Args:
        cohort: cohort from which the store was preprocessed.
        store: folder of the store.
        params, spec: quality limits and preprocessing settings of the store.

    Returns:
        Examples of each reason code with findings, in the order of ``REASONS``. Also the numbers of rejected recordings
        without findings (such as unreadable files), by reason code.
    """
    tables = [
        (False, pd.read_parquet(Path(store) / layout.INDEX, columns=["record_id", "findings"])),
        (True, original_frame(pd.read_csv(Path(store) / layout.REJECTED, dtype=str, keep_default_na=False))),
    ]
    places = {str(name): place for place, name in enumerate(cohort.table["record_id"])}
    found: dict[ReasonCode, list[tuple[float, bool, int, int | None, list[Finding]]]] = {code: [] for code in REASONS}
    unseen: Counter[str] = Counter()
    for rejected, table in tables:
        if rejected:
            unseen.update(table.loc[table["findings"] == "", "reason"])
        for name, cell in table.loc[table["findings"] != "", ["record_id", "findings"]].itertuples(index=False):
            findings = findings_from_cell(cell)
            place, window = _row_of(str(name), places, spec)
            for code in dict.fromkeys(finding.code for finding in findings):
                own = sorted((f for f in findings if f.code == code), key=lambda f: -_severity(f, params))
                found[code].append((_severity(own[0], params), rejected, place, window, own))
    out = []
    for code, candidates in found.items():
        if candidates:
            left_out = sum(candidate[1] for candidate in candidates)
            ranked = sorted(candidates, key=lambda candidate: (-candidate[0], candidate[2], candidate[3] or 0))
            worst = _first(MOST, (_example(cohort, *candidate[1:], spec) for candidate in ranked))
            out.append(Examples(code, len(candidates) - left_out, left_out, worst))
    return out, dict(sorted(unseen.items()))


def _row_of(name: str, places: dict[str, int], spec: SignalSpec) -> tuple[int, int | None]:
    """Return the row in the cohort's table and the number of the window; ``None`` with ``signal.windows: first``."""
    if name in places:
        return places[name], 0 if spec.windows == "all" else None
    record_id, window = layout.split_window_id(name)
    return places[record_id], window


def _severity(finding: Finding, params: QualityParams) -> float:
    """Return the severity of a finding. It is comparable between findings of the same code; larger values are worse."""
    reason, value = REASONS[finding.code], finding.value
    if np.isnan(value):
        return np.inf
    if reason.allowed == "between" and reason.limit is not None:
        low, high = getattr(params, reason.limit)
        return max(low / value if value > 0 else np.inf, value / high)
    return -value if reason.allowed == "from" or reason.limit is None else value


def _first(count: int, examples: Iterator[Example | None]) -> tuple[Example, ...]:
    chosen: list[Example] = []
    for example in examples:
        chosen += [example] if example is not None else []
        if len(chosen) == count:
            break
    return tuple(chosen)


def _example(
    cohort: Cohort, rejected: bool, place: int, window: int | None, own: list[Finding], spec: SignalSpec
) -> Example | None:
    """Load the example in row ``place`` of the cohort; ``None`` if it cannot be read or cleaned."""
    code = own[0].code
    leads = _shown(own, spec)
    item = recording_requests(cohort, place, place + 1)[0]
    try:
        recording = read_or_reject(item.path, item.overrides)
        raw, _ = arrange(recording.signal, recording.leads, spec.leads)
        rate = recording.sampling_rate
        if code in RAW_CODES:
            signal = raw[:, kept_part(raw.shape[1], rate, spec, window)[0]]
        else:
            cleaned = clean(bridge(raw, np.isfinite(raw)), rate, spec)
            signal, rate = crop(cleaned, spec, 0.0, window), spec.sampling_rate
    except (Rejected, RecordingError):
        return None
    if code == "limb_law":
        leads, traces = _by_law(signal, spec.leads)
    else:
        traces = signal[[spec.leads.index(lead) for lead in leads]]
    others = len({finding.lead for finding in own} - {None, *leads})
    row = cohort.rows[place] if cohort.rows else place + 2
    return Example(own[0], row, rejected, others, leads, traces, rate, code not in RAW_CODES)


def _shown(own: list[Finding], spec: SignalSpec) -> tuple[str, ...]:
    worst = own[0]
    if worst.code in ("identical", "chest_swap"):
        names = tuple(finding.lead for finding in own if finding.lead)[:2]
    else:
        names = (worst.lead,) if worst.lead else _OF_ALL.get(worst.code, ("II",))
    return tuple(name for name in names if name in spec.leads) or spec.leads[:1]


def _by_law(signal: NDArray[np.float32], leads: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return labels and signals of the most inconsistent limb lead, as recorded and as computed from the others.

    Without this lead, the other limb leads agree best.
    """
    signal = np.nan_to_num(signal)
    limb = [lead for lead in LIMB_LEADS if lead in leads]
    left = {lead: limb_residual(signal, [name if name != lead else "" for name in leads]) for lead in limb}
    odd = min(limb, key=lambda lead: np.nan_to_num(left[lead], nan=np.inf))
    rest = [lead for lead in limb if lead != odd]
    to_one_two = np.linalg.pinv(LIMB_MATRIX[[LIMB_LEADS.index(lead) for lead in rest]])
    expected = LIMB_MATRIX[LIMB_LEADS.index(odd)] @ to_one_two @ signal[[leads.index(lead) for lead in rest]]
    return (odd, odd + BY_LAW), np.stack([signal[leads.index(odd)], expected]).astype(np.float32)
