"""Recordings that are shorter than the window: patches that are present, rotation in time, and groups of equal length."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import repeat
from torch import Tensor


def recorded_columns(recorded: Tensor, columns: int, patch: int) -> Tensor:
    """Return a mask (B, N) of the time columns that are completely recorded.

    Args:
        recorded: (B,) int64, number of recorded samples from the start.
        columns: number N of patches per lead.
        patch: number of samples per patch.
    """
    end = torch.arange(1, columns + 1, device=recorded.device) * patch
    return end <= recorded.unsqueeze(-1)


def present_patches(
    lead_mask: Tensor | None, recorded: Tensor | None, leads: int, columns: int, patch: int
) -> Tensor | None:
    """Return a mask (B, L N) of the patches of recorded leads and completely recorded columns, lead by lead.

    It is ``None`` if ``lead_mask`` and ``recorded`` are ``None``.

    Args:
        lead_mask: (B, L) bool, or ``None`` if all leads are present.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.
        leads, columns, patch: numbers of leads, of patches per lead, and of samples per patch.
    """
    present = None if lead_mask is None else repeat(lead_mask, "b l -> b (l n)", n=columns)
    if recorded is None:
        return present
    there = repeat(recorded_columns(recorded, columns, patch), "b n -> b (l n)", l=leads)
    return there if present is None else present & there


def rotate(x: Tensor, offset: Tensor, recorded: Tensor | None = None) -> Tensor:
    """Return recordings whose recorded samples are shifted circularly. The other samples keep their place.

    Args:
        x: (B, L, T) recordings.
        offset: (B,) int64, index of the sample that becomes the first one, at least 0.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.
    """
    place = torch.arange(x.shape[-1], device=x.device)[None]
    if recorded is None:
        index = (place + offset[:, None]) % x.shape[-1]
    else:
        count = recorded[:, None]
        index = torch.where(place < count, (place + offset[:, None]) % count.clamp(min=1), place)
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


def by_length(recorded: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Yield the recordings of each length as (indices, number of recorded samples). Empty recordings are left out.

    Args:
        recorded: (B,) int64, number of recorded samples from the start.
    """
    for count in recorded.unique().tolist():
        if count > 0:
            yield (recorded == count).nonzero()[:, 0], count
