"""The two terms of the objective: reconstruction of hidden patches and NT-Xent between global vectors."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

TARGET_FLOOR = 0.1
"""Added (squared) to a patch's variance, in units of the normalised recording: without it the isoelectric line, which is
mostly noise, would be blown up to the same weight as a QRS complex."""


SPREAD_FLOOR = 1e-5
"""Added to the variance of a coordinate over the batch, so that one that says the same of all recordings stays near 0."""


def patch_target(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """Reconstruction target of patches (..., P): as they are, or each with its own mean and spread removed (He et al. 2022)."""
    if kind == "plain":
        return patches
    return (patches - patches.mean(dim=-1, keepdim=True)) / patch_spread(patches, kind)[..., None]


def patch_spread(patches: Tensor, kind: Literal["patch_norm", "plain"]) -> Tensor:
    """(...): how much of the recording's units a unit of the target is, for patches (..., P)."""
    if kind == "plain":
        return torch.ones_like(patches[..., 0])
    return torch.sqrt(patches.var(dim=-1, unbiased=False) + TARGET_FLOOR**2)


def reconstruction_loss(predicted: Tensor, target: Tensor, scored: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean squared error over scored patches.

    Args:
        predicted, target: (B, M, P).
        scored: (B, M) bool, hidden patches of recorded leads. 0 where there are none.
        count: to divide by, where it is not that of ``scored`` (parts of a larger batch).
    """
    error = (predicted.float() - target.float()).square().mean(dim=-1)
    count = scored.sum() if count is None else count
    return (error * scored).sum() / torch.where(count > 0, count, 1)


def standardised(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of two views with mean 0 and spread 1 in every coordinate, over all of both; float32.

    The batch normalisation without gain and offset that ends the heads of MoCo v3 (Chen et al. 2021, arXiv 2104.02057). An
    untrained encoder says nearly the same of every recording: all cosines are then near 1, whatever is learned moves
    all vectors alike, and NT-Xent has next to no gradient. What they have in common is taken out here, and what tells them
    apart is all that is left.

    Args:
        first, second: (B, E), row i of both from recording i; of the whole batch.
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
    """Symmetric normalised-temperature cross-entropy (Chen et al. 2020).

    Args:
        first, second: (B, E) vectors of the two views, row i of both from recording i.
        temperature: divides cosine similarities.
        patients: (B,) codes. ``None`` where all differ.
        same_patient: what other recordings of a patient are: left out (``ignore``), pulled together too (``positive``: the
            mean over positives of the log-likelihood, Khosla et al. 2020), or strangers like all others (``negative``).
    """
    batch = first.shape[0]
    z = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2B, E)
    # autocast would round cosines to 8 bits, and with them the loss and its gradient
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
