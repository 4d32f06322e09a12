"""Pretraining losses: reconstruction of hidden patches, and NT-Xent with optional standardisation."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

TARGET_FLOOR = 0.1
"""Floor of the standard deviation of a patch, in units of the normalised recording; its square is added to the variance.

Without it, noise on the isoelectric line would get the same weight as a QRS complex.
"""

SPREAD_FLOOR = 1e-5
"""Constant added to the variance of a coordinate over the batch, so that a constant coordinate stays close to 0."""


def patch_target(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """Return the target for patches (..., P): unchanged (``plain``), or standardised per patch (MAE: He et al. 2022)."""
    if kind == "plain":
        return patches
    return (patches - patches.mean(dim=-1, keepdim=True)) / patch_spread(patches, kind)[..., None]


def patch_spread(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """Return the scale (...) of patches (..., P), by which the target is divided; 1 for plain targets."""
    if kind == "plain":
        return torch.ones_like(patches[..., 0])
    return torch.sqrt(patches.var(dim=-1, unbiased=False) + TARGET_FLOOR**2)


def reconstruction_loss(predicted: Tensor, target: Tensor, scored: Tensor, count: Tensor | None = None) -> Tensor:
    """Return the mean squared error over scored patches (MAE: He et al. 2022, arXiv 2111.06377); 0 if no patch is scored.

    Args:
        predicted, target: (B, M, P) patches.
        scored: (B, M) bool, hidden patches of recorded leads.
        count: number to divide by, for parts of a larger batch. The default is the number of scored patches.
    """
    error = (predicted.float() - target.float()).square().mean(dim=-1)
    count = scored.sum() if count is None else count
    return (error * scored).sum() / torch.where(count > 0, count, 1)


def standardised(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vectors of two views in float32, with every coordinate standardised over both views.

    This is the batch normalisation without gain and offset at the end of the heads of MoCo v3 (Chen et al. 2021,
    arXiv 2104.02057). The vectors of an untrained encoder are nearly equal, so all cosines are near 1 and NT-Xent has almost
    no gradient. Standardising removes the common part.

    Args:
        first, second: (B, E) vectors of the whole batch; row i of both is from recording i.
    """
    z = torch.cat([first, second]).float()  # (2B, E)
    z = (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0, unbiased=False) + SPREAD_FLOOR)
    return z[: len(first)], z[len(first) :]


def nt_xent(
    first: Tensor,
    second: Tensor,
    temperature: float,
    patients: Tensor | None = None,
    same_patient: Literal["ignore", "positive", "negative"] = "ignore",
) -> Tensor:
    """Return the NT-Xent loss, averaged over both views as anchors (SimCLR: Chen et al. 2020, arXiv 2002.05709).

    Args:
        first, second: (B, E) vectors of the two views; row i of both is from recording i.
        temperature: divisor of the cosine similarities.
        patients: (B,) patient codes; ``None`` if all recordings are from different patients.
        same_patient: role of other recordings of the same patient. ``ignore`` excludes them, ``negative`` uses them as
            negatives, and ``positive`` as positives, with the mean log-likelihood over positives (SupCon: Khosla et al.
            2020, arXiv 2004.11362).
    """
    batch = first.shape[0]
    z = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2B, E)
    # disable autocast, because bf16 would round the cosines and make loss and gradient inaccurate
    with torch.autocast(z.device.type, enabled=False):
        similarity = z @ z.T / temperature
    index = torch.arange(2 * batch, device=z.device)
    itself = index[:, None] == index[None]
    positive = (index[:, None] % batch == index[None] % batch) & ~itself
    if patients is not None and same_patient != "negative":
        code = torch.cat([patients, patients])
        related = (code[:, None] == code[None]) & ~itself
        if same_patient == "positive":
            positive = related
        else:
            similarity = similarity.masked_fill(related & ~positive, float("-inf"))
    similarity = similarity.masked_fill(itself, float("-inf"))
    log_likelihood = similarity - similarity.logsumexp(dim=1, keepdim=True)
    return -(log_likelihood.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)).mean()
