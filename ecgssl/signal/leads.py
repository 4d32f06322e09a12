"""Names of the twelve leads, and relations between the six limb leads.

Any two limb leads determine the other four (Einthoven 1912, Goldberger 1942):
III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = LIMB_LEADS + CHEST_LEADS
"""Canonical names of the twelve leads, in canonical order."""

LIMB_MATRIX: NDArray[np.float64] = np.array(
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]]
)
"""Matrix (6, 2) of the limb leads, in canonical order, as linear combinations of I and II."""

ALIASES = {
    **{name.lower(): name for name in LEADS},
    # Latin American, Iberian and Turkish devices
    **{
        f"d{numeral}": name
        for numerals in (("i", "ii", "iii"), "123")
        for numeral, name in zip(numerals, LEADS, strict=False)
    },
    # names of the chest electrodes in IEC 60601-2-25
    **{f"c{number}": f"V{number}" for number in range(1, 7)},
}
"""Canonical lead name for each spelling, in lower case and without additional words such as "ECG lead"."""

_WORDS = re.compile(
    r"mdc_ecg_lead_|((ecg|ekg)(?=[ _:.-]|[aivcd]|$)[ _:.-]*)?"
    r"((lead|ableitung|abl|derivation|derivacion|derivacao|derivazione)[ _:.-]*)?"
)
_AFTER = re.compile(r" *\((einthoven|goldberger|wilson)\)| +(ecg|ekg|lead)")
_INVERTED = re.compile(r"(?:^|(?<=[ _:]))- *(avr)$")
_MINUS = str.maketrans("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-" * 7)
_EXACT = (
    {name: name for name in LEADS} | {name.upper(): name for name in LEADS} | {name.lower(): name for name in LEADS}
)
_AMBIGUOUS = {f"{letter}{number}" for letter, most in (("c", 6), ("d", 3)) for number in range(1, most + 1)}
_EEG = re.compile(
    r"(eeg|eog|emg|chin|loc|roc|fp[1-2z]|af?[1-8z]|m[12]|f[1-8z]|fc[1-6z]|cz|cp[1-6z]|t[3-8]|p[1-8z]|o[12z])([ :._-].*)?"
)
"""Channel labels of EEG and polysomnography; in such files, C3 and C4 are scalp electrodes."""


@dataclass(frozen=True)
class NamedLead:
    """Standard lead recognised from a channel name.

    Args:
        lead: canonical name of the lead.
        sign: 1, or -1 if the channel contains the inverted lead (-aVR in the Cabrera format).
    """

    lead: str
    sign: int = 1


def canonical(name: str) -> str | None:
    """Return the canonical name of a lead; ``None`` for other signals, including -aVR.

    Accepted spellings are those of ``ALIASES`` in any case, alone or with additional words, such as ``ECG II``, ``ECG
    lead II``, ``II ECG``, ``MDC_ECG_LEAD_II`` or ``Lead I (Einthoven)``. Use ``identify_leads`` for the channel names
    of a file.
    """
    named = named_lead(name)
    return named.lead if named is not None and named.sign > 0 else None


def named_lead(name: str) -> NamedLead | None:
    """Return the lead and its sign for a single channel name, including -aVR; ``None`` for other signals."""
    # looking up the unchanged name first is fast; the names of public data sets are found in this way
    if name in _EXACT:
        return NamedLead(_EXACT[name])
    lead, inverted, _ = _parse_name(name)
    return None if lead is None else NamedLead(lead, -1 if inverted else 1)


def identify_leads(names: Sequence[str]) -> tuple[NamedLead | None, ...]:
    """Return the lead of each channel of a file; ``None`` for channels other than the twelve leads.

    -aVR is recognised as inverted aVR, unless the file also contains aVR. The names C1 to C6 and D1 to D3 are
    ambiguous. They are recognised as leads only if the file also contains an unambiguous lead name, or names from both
    groups. C1 to C6 additionally require that the file has no leads V1 to V6 and no EEG channels, and that C3 and C4 are
    not the only two of them. D1 to D3 additionally require that it has no leads I to III.
    """
    return _identify(tuple(names))


@lru_cache(maxsize=512)
def _identify(names: tuple[str, ...]) -> tuple[NamedLead | None, ...]:
    found = [(_EXACT[name], False, False) if name in _EXACT else _parse_name(name) for name in names]
    certain = {lead for lead, inverted, ambiguous in found if lead and not inverted and not ambiguous}
    electrodes = {lead for lead, _, ambiguous in found if lead and ambiguous}
    limb, chest = electrodes & set(LIMB_LEADS), electrodes & set(CHEST_LEADS)
    supported = certain or (limb and chest) or any(inverted for _, inverted, _ in found)
    # C3 and C4 without other chest electrodes are usually scalp electrodes
    scalp = chest == {"V3", "V4"} or any(_EEG.fullmatch(name.strip().casefold()) for name in names if chest)
    refused = set() if supported else electrodes
    refused |= chest if scalp or certain & set(CHEST_LEADS) else set()
    refused |= limb if certain & set(LIMB_LEADS[:3]) else set()
    return tuple(
        None
        if lead is None or (ambiguous and lead in refused) or (inverted and lead in certain)
        else NamedLead(lead, -1 if inverted else 1)
        for lead, inverted, ambiguous in found
    )


@lru_cache(maxsize=4096)
def _parse_name(name: str) -> tuple[str | None, bool, bool]:
    """Return the lead of a channel name, whether the lead is inverted, and whether the name is ambiguous."""
    # NFKC converts full-width letters and Unicode Roman numerals to ASCII
    text = unicodedata.normalize("NFKC", name[:64].translate(_MINUS)).strip().casefold()
    text = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    text = _AFTER.sub("", text) if text.endswith((")", "ecg", "ekg", "lead")) else text
    if inverted := _INVERTED.search(text):
        rest = text[: inverted.start()]
        known = _WORDS.fullmatch(rest)
        return ("aVR", True, False) if known else (None, False, False)
    start = _WORDS.match(text)
    core = text[start.end() :] if start else text
    return ALIASES.get(core), False, core in _AMBIGUOUS


def lead_spellings() -> dict[str, str]:
    """Return a table of common spellings, in lower case, and their canonical lead names.

    Bundles contain this table for programs that do not use ecgssl. ``named_lead`` accepts more spellings. The value
    ``-aVR`` denotes inverted aVR.
    """
    words = ("", "lead ", "lead_", "ecg ", "ecg_", "ekg ", "ecg lead ", "ecg_lead_", "mdc_ecg_lead_")
    table = {f"{word}{name}": lead for word in words for name, lead in ALIASES.items()}
    table |= {f"{name} ecg": lead for name, lead in ALIASES.items()}
    table |= {f"{word}-avr": "-aVR" for word in words}
    return dict(sorted(table.items()))


def arrange(
    signal: NDArray[np.float32], names: Sequence[str], leads: Sequence[str] = LEADS, *, copy: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the rows of a recording in the order of ``leads``. Absent limb leads are derived if two are present.

    Args:
        signal: (rows, samples) in mV, unfiltered.
        names: name of each row in the file; unknown names are ignored. Rows named -aVR are inverted.
        leads: canonical names of the returned rows.
        copy: false to return ``signal`` itself if its rows are already ``leads``; the caller must not change it then.

    Returns:
        (len(leads), samples) float32 and a (len(leads),) bool mask of the recorded and derived leads. All other
        rows are zero.

    Raises:
        ValueError: a lead occurs more than once in ``names``, or ``names`` and ``signal`` differ in length.
    """
    stored = _stored_rows(tuple(names), tuple(leads)) if len(names) == len(signal) else None
    if stored is not None and signal.dtype == np.float32:
        there = np.ones(len(leads), dtype=bool)
        return (signal if not copy and stored == [*range(len(signal))] else signal[stored]), there
    rows: dict[str, NDArray[np.float32]] = {}
    for named, row in zip(identify_leads(names), signal, strict=True):
        if named is None:
            continue
        if named.lead in rows:
            raise ValueError(f"lead {named.lead} occurs twice")
        rows[named.lead] = row if named.sign > 0 else -row
    present = [lead for lead in LIMB_LEADS if lead in rows]
    if len(present) >= 2 and len(present) < len(LIMB_LEADS):
        # any two rows of LIMB_MATRIX are linearly independent, so two limb leads determine the others
        pair = [LIMB_LEADS.index(lead) for lead in present[:2]]
        to_one_two = np.linalg.inv(LIMB_MATRIX[pair])
        source = np.stack([rows[lead] for lead in present[:2]]).astype(np.float64)
        derived = (LIMB_MATRIX @ to_one_two) @ source
        for i, lead in enumerate(LIMB_LEADS):
            if lead not in rows:
                rows[lead] = derived[i].astype(np.float32)
    out = np.zeros((len(leads), signal.shape[1]), dtype=np.float32)
    mask = np.zeros(len(leads), dtype=bool)
    for i, lead in enumerate(leads):
        if lead in rows:
            out[i] = rows[lead]
            mask[i] = True
    return out, mask


@lru_cache(maxsize=512)
def _stored_rows(names: tuple[str, ...], leads: tuple[str, ...]) -> list[int] | None:
    """Return the row of each lead; ``None`` if a lead is absent or inverted, or any lead occurs more than once."""
    found = [named for named in identify_leads(names) if named is not None]
    if len({named.lead for named in found}) < len(found):
        return None
    row = {named.lead: i for i, named in enumerate(identify_leads(names)) if named is not None and named.sign > 0}
    return [row[lead] for lead in leads] if all(lead in row for lead in leads) else None


def measured(names: Sequence[str], leads: Sequence[str] = LEADS) -> NDArray[np.bool_]:
    """Return a mask of the leads that were recorded; other rows returned by ``arrange`` are derived or absent.

    Args:
        names: name of each row in the file.
        leads: canonical names of the rows returned by ``arrange``.

    Returns:
        (len(leads),) bool, true for recorded leads.
    """
    recorded = {named.lead for named in identify_leads(names) if named is not None}
    return np.array([lead in recorded for lead in leads], dtype=bool)


def limb_residual(signal: NDArray[np.float32], leads: Sequence[str] = LEADS) -> float:
    """Return the residual of the limb-lead laws, relative to the root mean square of the limb leads.

    Args:
        signal: (leads, samples) in mV. Limb leads must be recorded, not derived.
        leads: canonical names of the rows.

    Returns:
        Residual from 0 to 1; 0 if the laws are satisfied exactly. Exchanged leads, a wrong unit of some leads, or -aVR
        in place of aVR (Cabrera format) increase it. NaN if ``leads`` contains fewer than three limb leads, if a limb
        lead contains NaN, or if all are constant.
    """
    order, rows = _limb_rows(tuple(leads))
    limb = signal[rows]
    return centred_residual(limb - limb.mean(axis=1, keepdims=True), order)


def centred_residual(centred: NDArray[np.float32], leads: Sequence[str]) -> float:
    """Return ``limb_residual`` of a signal from which the mean of each lead has been subtracted."""
    order, rows = _limb_rows(tuple(leads))
    if len(order) < 3:
        return float("nan")
    limb = centred[rows]
    power = float(np.einsum("ij,ij->", limb, limb))
    if not power > 0:
        return float("nan")
    outside = _unlawful(order).astype(limb.dtype) @ limb
    return float(np.sqrt(np.einsum("ij,ij->", outside, outside) / power))


@lru_cache(maxsize=512)
def _limb_rows(leads: tuple[str, ...]) -> tuple[tuple[str, ...], list[int] | slice]:
    """Return the limb leads among the leads in canonical order, and their rows, as a slice if they are consecutive."""
    order = tuple(lead for lead in LIMB_LEADS if lead in leads)
    rows = [leads.index(lead) for lead in order]
    consecutive = rows and rows == [*range(rows[0], rows[0] + len(rows))]
    return order, slice(rows[0], rows[0] + len(rows)) if consecutive else rows


@lru_cache
def _unlawful(limb: tuple[str, ...]) -> NDArray[np.float64]:
    """Return an orthonormal basis (len(limb) - 2, len(limb)) of linear combinations that are 0 for valid limb leads."""
    basis = LIMB_MATRIX[[LIMB_LEADS.index(lead) for lead in limb]]
    return np.linalg.qr(basis, mode="complete").Q[:, 2:].T
