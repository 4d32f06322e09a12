"""Names of the twelve leads and the algebra of the six limb leads.

Code refers to leads by name, not by index. The limb leads span two dimensions (Einthoven 1912, Goldberger 1942):
III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2. Therefore any two of them determine the other four.
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
"""Canonical names in canonical order."""

LIMB_MATRIX: NDArray[np.float64] = np.array(
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]]
)
"""(6, 2) matrix: the limb leads, in canonical order, as linear combinations of I and II."""

ALIASES = {
    **{name.lower(): name for name in LEADS},
    # Latin American, Iberian and Turkish devices
    **{
        f"d{numeral}": name
        for numerals in (("i", "ii", "iii"), "123")
        for numeral, name in zip(numerals, LEADS, strict=False)
    },
    # IEC 60601-2-25 names the chest electrodes C1 to C6
    **{f"c{number}": f"V{number}" for number in range(1, 7)},
}
"""Spellings of each lead in lower case, without the words of ``_WORDS``. All readers, tables and inputs use this table."""

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
"""Labels of electroencephalography and polysomnography, in which C3 and C4 are electrodes of the scalp."""


@dataclass(frozen=True)
class NamedLead:
    """One of the twelve leads, as recognised by its name.

    Args:
        lead: canonical name.
        sign: 1, or -1 for a channel that holds the inverted lead (-aVR of the Cabrera order).
    """

    lead: str
    sign: int = 1


def canonical(name: str) -> str | None:
    """Return the canonical name of a lead, or ``None`` for other signals (Frank leads, markers, the inverted -aVR).

    Accepted spellings are those of ``ALIASES`` in any case, alone or with words: ``ECG II``, ``ECG lead II``, ``II ECG``,
    ``MDC_ECG_LEAD_II``, ``Lead I (Einthoven)``. Use ``identify_leads`` for all names of a file.
    """
    # try the spelling of public data sets first, because this lookup runs often
    named = named_lead(name)
    return named.lead if named is not None and named.sign > 0 else None


def named_lead(name: str) -> NamedLead | None:
    """Return the lead of one name, also for -aVR; ``None`` for other signals. ``identify_leads`` is for names of a file."""
    if name in _EXACT:
        return NamedLead(_EXACT[name])
    lead, inverted, _ = _parse_name(name)
    return None if lead is None else NamedLead(lead, -1 if inverted else 1)


def identify_leads(names: Sequence[str]) -> tuple[NamedLead | None, ...]:
    """Return the lead of each channel of a file; ``None`` for channels that are not one of the twelve leads.

    -aVR is the inverted aVR, unless the file also holds aVR. C1 to C6 and D1 to D3 are leads only next to an unambiguous
    lead name, and only if the file has no lead V1 to V6 (or I to III) and no label of electroencephalography.
    """
    return _identify(tuple(names))


@lru_cache(maxsize=512)
def _identify(names: tuple[str, ...]) -> tuple[NamedLead | None, ...]:
    found = [(_EXACT[name], False, False) if name in _EXACT else _parse_name(name) for name in names]
    certain = {lead for lead, inverted, ambiguous in found if lead and not inverted and not ambiguous}
    electrodes = {lead for lead, _, ambiguous in found if lead and ambiguous}
    limb, chest = electrodes & set(LIMB_LEADS), electrodes & set(CHEST_LEADS)
    supported = certain or (limb and chest) or any(inverted for _, inverted, _ in found)
    # C3 and C4 alone are the usual pair of scalp electrodes
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
    """Return the lead of a spelling, whether it is inverted, and whether the spelling has other meanings as well."""
    # compatibility forms include full-width letters and the Roman numerals of Unicode
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
    """Return the canonical name of each accepted spelling, in lower case and without spaces at its ends.

    Bundles contain this table, so that programs without ecgssl accept the same names. A value with a leading minus is a lead
    that is stored inverted.
    """
    words = ("", "lead ", "lead_", "ecg ", "ecg_", "ekg ", "ecg lead ", "ecg_lead_", "mdc_ecg_lead_")
    table = {f"{word}{name}": lead for word in words for name, lead in ALIASES.items()}
    table |= {f"{name} ecg": lead for name, lead in ALIASES.items()}
    table |= {f"{word}-avr": "-aVR" for word in words}
    return dict(sorted(table.items()))


def arrange(
    signal: NDArray[np.float32], names: Sequence[str], leads: Sequence[str] = LEADS
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the rows in the order of ``leads``; absent limb leads are derived from any two that are present.

    Args:
        signal: (rows, samples) in mV, unfiltered.
        names: name of each row in the file; unknown names are ignored. -aVR is inverted.
        leads: canonical names of the returned rows.

    Returns:
        (len(leads), samples) float32 and a (len(leads),) mask of the available leads; other rows are zero.

    Raises:
        ValueError: a lead occurs twice.
    """
    rows: dict[str, NDArray[np.float32]] = {}
    for named, row in zip(identify_leads(names), signal, strict=True):
        if named is None:
            continue
        if named.lead in rows:
            raise ValueError(f"lead {named.lead} occurs twice")
        rows[named.lead] = row if named.sign > 0 else -row
    present = [lead for lead in LIMB_LEADS if lead in rows]
    if len(present) >= 2 and len(present) < len(LIMB_LEADS):
        # two limb leads determine the others, because any two rows of LIMB_MATRIX are independent
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


def measured(names: Sequence[str], leads: Sequence[str] = LEADS) -> NDArray[np.bool_]:
    """Return which rows of the result of ``arrange`` were recorded, not derived.

    Args:
        names: name of each row in the file.
        leads: canonical names of the rows.

    Returns:
        (len(leads),) bool mask.
    """
    recorded = {named.lead for named in identify_leads(names) if named is not None}
    return np.array([lead in recorded for lead in leads], dtype=bool)


def limb_residual(signal: NDArray[np.float32], leads: Sequence[str] = LEADS) -> float:
    """Return the residual of the limb-lead laws: root mean square residual divided by root mean square limb signal.

    Args:
        signal: (leads, samples) in mV with rows named by ``leads``; limb leads as *recorded*, not derived.

    Returns:
        0 if the laws are satisfied exactly; about 1 or more for exchanged leads, a wrong unit or Cabrera's -aVR. NaN if
        fewer than three limb leads are present, or if they contain NaN or are silent.
    """
    order = tuple(lead for lead in LIMB_LEADS if lead in leads)
    if len(order) < 3:
        return float("nan")
    limb = signal[[list(leads).index(lead) for lead in order]]
    limb = limb - limb.mean(axis=1, keepdims=True)
    power = float(np.einsum("ij,ij->", limb, limb))
    if not power > 0:
        return float("nan")
    outside = _unlawful(order).astype(limb.dtype) @ limb
    return float(np.sqrt(np.einsum("ij,ij->", outside, outside) / power))


@lru_cache
def _unlawful(limb: tuple[str, ...]) -> NDArray[np.float64]:
    """Return a (len(limb) - 2, len(limb)) orthonormal basis of the combinations that are 0 by the limb-lead laws."""
    basis = LIMB_MATRIX[[LIMB_LEADS.index(lead) for lead in limb]]
    return np.linalg.qr(basis, mode="complete").Q[:, 2:].T
