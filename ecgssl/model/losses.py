"""Pretraining losses: reconstruction of hidden patches, and NT-Xent with optional standardisation."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

TARGET_FLOOR = 0.1
"""The square of this value is added to the variance of a patch, in units of the normalised recording. Without it, noise on the
isoelectric line would get the same weight as a QRS complex."""

SPREAD_FLOOR = 1e-5
"""Constant added to the variance of a coordinate over the batch, so that a constant coordinate stays close to 0."""


def patch_target(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """Return the reconstruction target of patches (..., P): unchanged, or standardised per patch (MAE: He et al. 2022)."""
    if kind == "plain":
        return patches
    return (patches - patches.mean(dim=-1, keepdim=True)) / patch_spread(patches, kind)[..., None]


def patch_spread(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """Return the scale (...) of patches (..., P): units of the recording per unit of the target."""
    if kind == "plain":
        return torch.ones_like(patches[..., 0])
    return torch.sqrt(patches.var(dim=-1, unbiased=False) + TARGET_FLOOR**2)


def reconstruction_loss(predicted: Tensor, target: Tensor, scored: Tensor, count: Tensor | None = None) -> Tensor:
    """Return the mean squared error over scored patches (MAE: He et al. 2022, arXiv 2111.06377); 0 if there are none.

    Args:
        predicted, target: (B, M, P) patches.
        scored: (B, M) bool, hidden patches of recorded leads.
        count: divisor for parts of a larger batch; the number of scored patches by default.
    """
    error = (predicted.float() - target.float()).square().mean(dim=-1)
    count = scored.sum() if count is None else count
    return (error * scored).sum() / torch.where(count > 0, count, 1)


def standardised(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vectors of two views, scaled to mean 0 and standard deviation 1 of every coordinate over both; float32.

    This is the batch normalisation without gain and offset at the end of the heads of MoCo v3 (Chen et al. 2021,
    arXiv 2104.02057). The vectors of an untrained encoder are nearly equal: all cosines are near 1, and NT-Xent has almost no
    gradient. Standardising removes the common part.

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
    """Return the normalised-temperature cross-entropy of both directions (SimCLR: Chen et al. 2020, arXiv 2002.05709).

    Args:
        first, second: (B, E) vectors of the two views; row i of both is from recording i.
        temperature: divisor of the cosine similarities.
        patients: (B,) patient codes; ``None`` if all recordings are from different patients.
        same_patient: other recordings of the same patient are left out (``ignore``), positives (``positive``: mean
            log-likelihood over positives, SupCon: Khosla et al. 2020, arXiv 2004.11362), or negatives (``negative``).
    """
    batch = first.shape[0]
    z = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2B, E)
    # autocast would round the cosines to 8 bits and make loss and gradient inaccurate
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
