"""Samples of short recordings that were not recorded, marked by NaN in the input of a graph. This module needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mark_unrecorded(ecg: NDArray[np.float32], recorded: NDArray[np.integer] | None) -> NDArray[np.float32]:
    """Return recordings with NaN in the samples that were not recorded, as the graphs of a bundle expect them.

    Args:
        ecg: (B, L, T) recordings in mV.
        recorded: (B,) number of recorded samples from the start; ``None`` if all samples are recorded.
    """
    if recorded is None or bool((np.asarray(recorded) >= ecg.shape[-1]).all()):
        return ecg
    there = np.arange(ecg.shape[-1]) < np.asarray(recorded)[:, None, None]
    return np.where(there, ecg, np.float32(np.nan))


def recorded_counts(ecg: NDArray[np.float32], lead_mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of samples (B,) before the trailing samples that are NaN in all present leads.

    Args:
        ecg: (B, L, T) recordings in mV.
        lead_mask: (B, L) bool, true for present leads.
    """
    there: NDArray[np.bool_] = np.any(~np.isnan(ecg) & lead_mask[..., None], axis=1)
    return np.where(there.any(axis=1), ecg.shape[-1] - there[:, ::-1].argmax(axis=1), 0).astype(np.int64)


def with_signal(ecg: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return a mask (B, L) of the leads (B, L, T) with a value that is neither 0 nor NaN."""
    return np.asarray((np.nan_to_num(ecg) != 0).any(axis=-1))
