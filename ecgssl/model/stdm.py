"""Spatio-Temporal Dual Masking (CoRe-ECG, arXiv 2604.11359): full-time masking and lead drop.

Full-time masking hides the same time columns in *all* leads, so no lead can be inferred from another lead at a masked time.
Lead drop hides whole leads. All recordings of a batch have the same number of visible patches, so that the encoder can
process the visible patches only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ecgssl.config import STDMParams
from ecgssl.model.draws import uniform
from ecgssl.signal.leads import LIMB_LEADS


@dataclass(frozen=True)
class Mask:
    """Mask of one view.

    Args:
        hidden_time: (B, N) bool, time columns masked in all leads.
        hidden_lead: (B, L) bool, dropped leads.
        hidden: (B, L, N) bool, all hidden patches.
        keep: (B, K) int64, indices of the visible patches in the flattened (L N) order, ascending.
    """

    hidden_time: Tensor
    hidden_lead: Tensor
    hidden: Tensor
    keep: Tensor


def complement(mask: Mask) -> Mask:
    """Return the mask of a second view that has no visible patch in common with the first view of a recording.

    Full-time masking (``paper``, ``einthoven``): the time columns that ``mask`` hides are visible and the others hidden, in
    the same leads. ``random``: the patches that ``mask`` hides are visible and the others hidden. A mask that hides nothing,
    or only leads, is returned unchanged.
    """
    if bool(mask.hidden_time.any()):
        columns, leads = int(mask.hidden_time[0].sum()), int((~mask.hidden_lead[0]).sum())
        return _assemble(~mask.hidden_time, mask.hidden_lead, columns * leads)
    if bool(mask.hidden_lead.any()) or not bool(mask.hidden.any()):
        return mask
    return Mask(mask.hidden_time, mask.hidden_lead, ~mask.hidden, _keep(~mask.hidden, int(mask.hidden[0].sum())))


def alternating_count(mean: float, step: int) -> int:
    """Return ``mean`` rounded down or up, depending on the step. The average over many steps is ``mean`` (error diffusion)."""
    return math.floor((step + 1) * mean + 1e-9) - math.floor(step * mean + 1e-9)


def draw_mask(
    params: STDMParams, batch: int, leads: Sequence[str], columns: int, step: int, generator: torch.Generator
) -> Mask:
    """Return an independent random mask for each recording.

    Args:
        params: kind and ratios. ``paper`` drops random leads. ``einthoven`` drops leads such that no dropped limb lead is a
            linear combination of visible ones. ``random`` hides single patches, on average as many as ``paper``;
            ``hidden_time`` and ``hidden_lead`` are then false. ``none`` hides nothing.
        batch: number B of recordings.
        leads: canonical names of the L rows.
        columns: number N of patches per lead.
        step: training step; determines whether the counts are rounded down or up.
        generator: random generator on the device of the mask.
    """
    device = generator.device
    n_leads = len(leads)
    if params.kind == "none":
        hidden_time = torch.zeros(batch, columns, dtype=torch.bool, device=device)
        hidden_lead = torch.zeros(batch, n_leads, dtype=torch.bool, device=device)
        return _assemble(hidden_time, hidden_lead, n_leads * columns)
    if params.kind == "random":
        visible_share = (1 - params.time_ratio) * (1 - params.lead_ratio)
        count = min(max(alternating_count((1 - visible_share) * n_leads * columns, step), 0), n_leads * columns - 1)
        hidden = _choose(batch, n_leads * columns, count, generator).view(batch, n_leads, columns)
        nothing_time = torch.zeros(batch, columns, dtype=torch.bool, device=device)
        nothing_lead = torch.zeros_like(nothing_time[:, :1]).expand(batch, n_leads)
        return Mask(nothing_time, nothing_lead, hidden, _keep(hidden, n_leads * columns - count))
    time_count = min(alternating_count(params.time_ratio * columns, step), columns - 1)
    hidden_time = _choose(batch, columns, time_count, generator)
    if params.kind == "paper":
        lead_count = min(alternating_count(params.lead_ratio * n_leads, step), n_leads - 1)
        hidden_lead = _choose(batch, n_leads, lead_count, generator)
    else:
        hidden_lead, lead_count = _drop_outside_span(params.lead_ratio, batch, leads, step, generator)
    return _assemble(hidden_time, hidden_lead, (columns - time_count) * (n_leads - lead_count))


def draw_columns(
    time_ratio: float,
    batch: int,
    leads: int,
    columns: int,
    step: int,
    generator: torch.Generator,
    recorded: Tensor | None = None,
) -> Tensor:
    """Return the visible patches (B, K) of random full-time masks, as ``Mask.keep``, for training with labels.

    Columns that are not completely recorded are hidden first. A short recording can therefore keep all of its columns.

    Args:
        time_ratio: fraction of the columns that is hidden, on average over steps. At least one column is visible.
        batch, leads, columns: numbers B of recordings, L of leads and N of patches per lead.
        step: training step; determines whether the number of hidden columns is rounded down or up.
        generator: random generator on the device of the mask.
        recorded: (B, N) bool, columns that are completely recorded (``recorded_columns``); ``None`` for all.
    """
    count = min(alternating_count(time_ratio * columns, step), columns - 1)
    order = uniform(batch, columns, generator=generator)
    if recorded is not None:
        order = order - (~recorded).float()
    hidden = torch.zeros(batch, columns, dtype=torch.bool, device=generator.device)
    hidden.scatter_(1, order.argsort(dim=1)[:, :count], True)
    return _keep(hidden[:, None].expand(-1, leads, -1), (columns - count) * leads)


def _drop_outside_span(
    ratio: float, batch: int, leads: Sequence[str], step: int, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Return a mask (B, L) of dropped leads and their number per recording.

    A step drops either chest leads only, or all limb leads but one. With at most two limb leads, any leads are dropped.

    Any two limb leads determine the other four. Dropped limb leads can therefore be computed from visible leads unless at
    most one limb lead is visible. The mean fraction of dropped leads over steps is ``ratio``. For high
    ratios, limb leads are dropped in more steps, together with chest leads.
    """
    limb = [i for i, lead in enumerate(leads) if lead in LIMB_LEADS]
    rest = [i for i, lead in enumerate(leads) if lead not in LIMB_LEADS]
    n_limb, n_chest = len(limb), len(rest)
    if n_limb <= 2:
        # two limb leads are linearly independent, so any leads can be dropped
        count = min(alternating_count(ratio * len(leads), step), len(leads) - 1)
        return _choose(batch, len(leads), count, generator), count
    mean_count = ratio * len(leads)
    share = min(max(ratio, (mean_count - n_chest) / (n_limb - 1)), 1.0)
    chest = min(mean_count - share * (n_limb - 1), n_chest)
    chest_alone = min(chest / (1 - share), n_chest) if share < 1 else 0.0
    chest_with_limb = (chest - (1 - share) * chest_alone) / share if share > 0 else 0.0
    limb_steps = math.floor(step * share + 1e-9)
    limb_count = n_limb - 1 if alternating_count(share, step) else 0
    dropped = (
        alternating_count(chest_with_limb, limb_steps)
        if limb_count
        else alternating_count(chest_alone, step - limb_steps)
    )
    chest_count = min(dropped, n_chest)
    none = torch.zeros(batch, n_limb, dtype=torch.bool, device=generator.device)
    parts = [_choose(batch, n_limb, limb_count, generator) if limb_count else none]
    if n_chest:
        parts.append(_choose(batch, n_chest, chest_count, generator))
    drawn = torch.cat(parts, dim=1).unbind(dim=1)
    by_lead = dict(zip(limb + rest, drawn, strict=True))
    return torch.stack([by_lead[i] for i in range(len(leads))], dim=1), limb_count + chest_count


def _choose(batch: int, total: int, count: int, generator: torch.Generator) -> Tensor:
    """Return a random boolean mask (batch, total) with exactly ``count`` true values per row."""
    order = uniform(batch, total, generator=generator).argsort(dim=1)
    chosen = torch.zeros(batch, total, dtype=torch.bool, device=generator.device)
    return chosen.scatter_(1, order[:, :count], True)


def _assemble(hidden_time: Tensor, hidden_lead: Tensor, visible: int) -> Mask:
    hidden = hidden_time[:, None, :] | hidden_lead[:, :, None]
    return Mask(hidden_time, hidden_lead, hidden, _keep(hidden, visible))


def _keep(hidden: Tensor, visible: int) -> Tensor:
    """Return the indices (B, K) of the visible patches, given the mask ``hidden`` (B, L, N) and their number K.

    The number is an argument, because counting on the device would force a synchronisation.
    """
    flat = hidden.flatten(1)
    # a stable sort puts the visible patches (False) first and keeps their order
    return flat.to(torch.uint8).sort(dim=1, stable=True).indices[:, :visible]
