"""Detection of exchanged electrodes from the correlations between leads.

The correlations of the eight independent leads are similar in most people, because a single dipole explains most of the
signal. ``USUAL`` contains the average second moments. With these moments as covariance matrix, a recording with
exchanged electrodes has a large mean squared Mahalanobis distance, and a smaller one when the exchange is undone. Kors
and van Herpen 2001 (doi:10.1016/S0002-9149(01)01686-1) instead predict each lead from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import CHEST_LEADS, LIMB_LEADS

WINDOWS = 5
"""Number of windows of a recording. The median over the windows is robust to artefacts in one of them."""

INDEPENDENT = ("I", "II", *CHEST_LEADS)

USUAL: NDArray[np.float64] = 1e-4 * np.array(
    [
        [646, 388, -452, -52, 307, 599, 692, 614],
        [388, 595, -324, -54, 414, 712, 735, 622],
        [-452, -324, 818, 860, 352, -205, -486, -521],
        [-52, -54, 860, 2031, 1389, 592, 63, -163],
        [307, 414, 352, 1389, 1815, 1319, 786, 441],
        [599, 712, -205, 592, 1319, 1662, 1320, 953],
        [692, 735, -486, 63, 786, 1320, 1412, 1090],
        [614, 622, -521, -163, 441, 953, 1090, 1021],
    ]
)
"""Mean second moments of the leads in ``INDEPENDENT`` after cleaning, scaled to trace 1 in each recording.

Computed by ``benchmarks/quality.py --fit`` from 1,319 recordings of PTB-XL (Wagner et al. 2020,
doi:10.1038/s41597-020-0495-6, CC BY 4.0; folds 1 to 7 of the first 2,000).
"""

_FLOOR = 0.05 / len(INDEPENDENT)
"""Regularisation added to the diagonal of ``USUAL``, which reduces the effect of noise that is uncorrelated between leads."""

_LIMB_EXCHANGES: dict[str, NDArray[np.float64]] = {
    # matrices that convert the true leads I and II to the recorded ones; the exchange of left arm and left leg is not
    # included, because it cannot be distinguished from a different heart axis (only 20 % were detected)
    "left and right arm": np.array([[-1.0, 0.0], [-1.0, 1.0]]),
    "right arm and leg": np.array([[1.0, -1.0], [0.0, -1.0]]),
    "all limb electrodes, one way": np.array([[-1.0, 1.0], [-1.0, 0.0]]),
    "all limb electrodes, the other way": np.array([[0.0, -1.0], [1.0, -1.0]]),
}

CHEST_PAIRS = tuple(
    # exchanges of other neighbouring chest electrodes cannot be distinguished from normal variation
    (a, b)
    for a, b in combinations(CHEST_LEADS, 2)
    if (a, b) == ("V1", "V2") or CHEST_LEADS.index(b) - CHEST_LEADS.index(a) > 1
)


@dataclass(frozen=True)
class LeadOrder:
    """Evidence for exchanged electrodes.

    The evidence is the relative decrease of the squared Mahalanobis distance when the most likely exchange is undone. It
    is at most 1, negative if the distance increases, and NaN if a lead of ``INDEPENDENT`` is missing or all leads are 0.

    Args:
        limb_swap: evidence for exchanged limb electrodes.
        chest_swap: evidence for two exchanged chest electrodes.
        chest_pair: the two chest electrodes that are most likely exchanged.
    """

    limb_swap: float
    chest_swap: float
    chest_pair: tuple[str, str]


def second_moments(cleaned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean product of each pair of leads in each window, in mV^2.

    Args:
        cleaned: (leads, samples) in mV, without offset.

    Returns:
        Array of shape (``WINDOWS``, leads, leads).
    """
    leads = cleaned.shape[0]
    length = cleaned.shape[1] // WINDOWS
    parts = cleaned[:, : WINDOWS * length].reshape(leads, WINDOWS, length).transpose(1, 0, 2)
    return np.asarray(parts @ parts.transpose(0, 2, 1) / max(length, 1), dtype=np.float32)


def lead_order(moments: NDArray[np.float32], leads: Sequence[str]) -> LeadOrder:
    """Return the evidence for exchanged limb electrodes and for exchanged chest electrodes.

    Args:
        moments: (windows, leads, leads), result of ``second_moments``.
        leads: canonical name of each row; an empty string for rows that are not usable.
    """
    places = _places(tuple(leads))
    if places is None:
        return LeadOrder(float("nan"), float("nan"), CHEST_PAIRS[0])
    unusual = np.take(moments.reshape(len(moments), -1), places, axis=1) @ _DISTANCES
    unusual = unusual[unusual[:, 0] > 0]
    if not len(unusual):
        return LeadOrder(float("nan"), float("nan"), CHEST_PAIRS[0])
    gains = np.sort(1.0 - unusual[:, 1:] / unusual[:, :1], axis=0)[len(unusual) // 2]
    limb, chest = gains[: len(_LIMB_EXCHANGES)], gains[len(_LIMB_EXCHANGES) :]
    return LeadOrder(float(limb.max()), float(chest.max()), CHEST_PAIRS[int(chest.argmax())])


@lru_cache(maxsize=512)
def _places(leads: tuple[str, ...]) -> NDArray[np.intp] | None:
    """Return the indices (64,) of the moments of ``INDEPENDENT`` in flattened moments; ``None`` if a lead is missing."""
    if not set(INDEPENDENT) <= set(leads):
        return None
    rows = np.array([leads.index(lead) for lead in INDEPENDENT])
    return np.asarray((rows[:, None] * len(leads) + rows).reshape(-1), dtype=np.intp)


def difference(moments: NDArray[np.float32], leads: Sequence[str]) -> NDArray[np.float64]:
    """Return the relative difference between each lead and its most similar lead.

    Pairs of limb leads are not compared, because two of them are equal if the third lead is 0 (III = II - I).

    Args:
        moments: (windows, leads, leads), result of ``second_moments``.
        leads: canonical name of each row; an empty string for rows that are not usable.

    Returns:
        (leads,) root mean square of the difference divided by the larger root mean square of the two leads; NaN if
        there is no lead to compare with.
    """
    total = np.add.reduce(moments, axis=0, dtype=np.float64) / len(moments)
    power = total.diagonal()
    larger = np.maximum(power[:, None], power)
    apart = power[:, None] + power - 2.0 * total
    compared = _comparable(tuple(leads)) & (larger > 0)
    relative = np.divide(apart, larger, where=compared, out=np.full_like(apart, np.inf))
    # the root is monotonic, so it is computed for the smallest difference only
    smallest = np.sqrt(np.maximum(relative.min(axis=1), 0))
    return np.where(np.isfinite(smallest), smallest, np.nan)


@lru_cache(maxsize=512)
def _comparable(leads: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return a (leads, leads) mask of the pairs of leads that are compared."""
    limb = np.array([lead in LIMB_LEADS for lead in leads])
    named = np.array([bool(lead) for lead in leads])
    compared = named[:, None] & named & ~(limb[:, None] & limb)
    np.fill_diagonal(compared, False)
    return compared


def _distances() -> NDArray[np.float32]:
    """Return a matrix (64, 1 + number of exchanges) for computing distances from flattened second moments.

    The first column gives the squared Mahalanobis distance of a recording; the others give it after undoing one exchange.
    """
    size = len(INDEPENDENT)
    undone = [np.eye(size)]
    for recorded in _LIMB_EXCHANGES.values():
        matrix = np.eye(size)
        matrix[:2, :2] = np.linalg.inv(recorded)
        undone.append(matrix)
    for pair in CHEST_PAIRS:
        order = list(range(size))
        first, second = (INDEPENDENT.index(lead) for lead in pair)
        order[first], order[second] = second, first
        undone.append(np.eye(size)[order])
    precision = np.linalg.inv(USUAL + _FLOOR * np.eye(size))
    return np.stack([(m.T @ precision @ m).reshape(-1) for m in undone], axis=1).astype(np.float32)


_DISTANCES = _distances()
