"""Names of the twelve leads and the algebra of the six limb leads.

Leads are found by name, never by index. The limb leads span two dimensions (Einthoven 1912, Goldberger 1942):
III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2; so any two of them give the other four.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = LIMB_LEADS + CHEST_LEADS
"""Canonical order."""

LIMB_MATRIX: NDArray[np.float64] = np.array(
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]]
)
"""(6, 2): the limb leads, in canonical order, as combinations of I and II."""

_ALIASES = {name.lower(): name for name in LEADS}
_ALIASES |= {f"mdc_ecg_lead_{name}".lower(): name for name in LEADS}
_ALIASES |= {name: name for name in LEADS} | {name.upper(): name for name in LEADS}
_ALIASES |= {f"lead {name}".lower(): name for name in LEADS} | {f"lead_{name}".lower(): name for name in LEADS}


def canonical(name: str) -> str | None:
    """Canonical name of a lead, or ``None`` for anything that is not one of the twelve (Frank leads, markers)."""
    # as public sets spell them; a hundred names are looked up for every recording
    return _ALIASES.get(name) or _ALIASES.get(name.strip().lower())


def arrange(
    signal: NDArray[np.float32], names: Sequence[str], leads: Sequence[str] = LEADS
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows in the order of ``leads``; limb leads that are absent are derived from any two that are present.

    Args:
        signal: (rows, samples) in mV, unfiltered.
        names: name of each row as the file spells it; unknown names are ignored.
        leads: canonical names wanted.

    Returns:
        (len(leads), samples) float32 and a (len(leads),) mask; rows without mask are zero and carry no signal.

    Raises:
        ValueError: where one lead is named twice.
    """
    rows: dict[str, NDArray[np.float32]] = {}
    for name, row in zip(names, signal, strict=True):
        lead = canonical(name)
        if lead is None:
            continue
        if lead in rows:
            raise ValueError(f"lead {lead} occurs twice")
        rows[lead] = row
    present = [lead for lead in LIMB_LEADS if lead in rows]
    if len(present) >= 2 and len(present) < len(LIMB_LEADS):
        # the first two give the rest: any two rows of LIMB_MATRIX are independent
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
    """Which rows that ``arrange`` returns were recorded, not derived.

    Args:
        names: name of each row as the file spells it.
        leads: canonical names wanted.

    Returns:
        (len(leads),) mask.
    """
    recorded = {canonical(name) for name in names}
    return np.array([lead in recorded for lead in leads], dtype=bool)


def limb_residual(signal: NDArray[np.float32], leads: Sequence[str] = LEADS) -> float:
    """How far the limb leads are from their laws: root mean square residual over root mean square limb signal.

    Args:
        signal: (leads, samples) in mV with rows named by ``leads``, each limb lead as *measured*.

    Returns:
        0 for a perfect set, near 1 and above for swapped leads, a wrong unit or Cabrera's -aVR; NaN where fewer than
        three limb leads are present, where they carry NaN, or where they are silent.
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
    """(len(limb) - 2, len(limb)): orthonormal basis of all that the laws forbid these limb leads."""
    basis = LIMB_MATRIX[[LIMB_LEADS.index(lead) for lead in limb]]
    return np.linalg.qr(basis, mode="complete").Q[:, 2:].T
