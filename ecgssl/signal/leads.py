"""Names of the twelve leads and the algebra of the six limb leads.

Code refers to leads by name, not by index. The limb leads span two dimensions (Einthoven 1912, Goldberger 1942):
III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2. Therefore any two of them determine the other four.
"""

from __future__ import annotations

from collections.abc import Sequence
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

_ALIASES = {name.lower(): name for name in LEADS}
_ALIASES |= {f"mdc_ecg_lead_{name}".lower(): name for name in LEADS}
_ALIASES |= {name: name for name in LEADS} | {name.upper(): name for name in LEADS}
_ALIASES |= {f"lead {name}".lower(): name for name in LEADS} | {f"lead_{name}".lower(): name for name in LEADS}


def canonical(name: str) -> str | None:
    """Return the canonical name of a lead, or ``None`` for other signals (Frank leads, markers)."""
    # try the spelling of public data sets first, because this lookup runs often
    return _ALIASES.get(name) or _ALIASES.get(name.strip().lower())


def lead_spellings() -> dict[str, str]:
    """Return the canonical name of each accepted spelling, in lower case and without spaces at its ends.

    Bundles contain this table, so that programs without ecgssl accept the same names. A value with a leading minus is a lead
    that is stored inverted.
    """
    return {name.lower(): lead for name, lead in sorted(_ALIASES.items())}


def arrange(
    signal: NDArray[np.float32], names: Sequence[str], leads: Sequence[str] = LEADS
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the rows in the order of ``leads``; absent limb leads are derived from any two that are present.

    Args:
        signal: (rows, samples) in mV, unfiltered.
        names: name of each row in the file; unknown names are ignored.
        leads: canonical names of the returned rows.

    Returns:
        (len(leads), samples) float32 and a (len(leads),) mask of the available leads; other rows are zero.

    Raises:
        ValueError: a lead occurs twice.
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
    recorded = {canonical(name) for name in names}
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
