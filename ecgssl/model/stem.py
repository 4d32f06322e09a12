"""Stem: filters applied at several offsets around every patch, and the shares of their responses above a threshold."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config.model import StemParams

TAPS = 9
"""Number of independent values of an initial filter, as in ROCKET (Dempster et al. 2020, arXiv 1910.13051)."""
DILATIONS = (1, 1, 2, 2, 3, 5)
"""Samples per value of successive initial filters. A filter of dilation 5 covers 45 samples."""
THRESHOLDS = (0.03, 3.0)
"""Range of the absolute values of initial thresholds, in units of the normalised recording."""
SOFTNESS = 0.02
"""Width of the threshold of a share, in units of a response. A hard threshold would let rounding change an embedding.

Wider thresholds lose information: with 0.25, a probe of the shares had a macro AUROC of 0.873 for the superclasses of
PTB-XL (fold 9), and with hard thresholds 0.905 (encoder of 20,000 recordings seen, 320 filters)."""


class Stem(nn.Module):
    """Filters of one patch length at ``offsets`` offsets around every patch of a lead.

    A linear patch embedding represents a QRS complex differently at every position in the patch. The responses of the
    filters at several offsets, and in particular the share of responses above a threshold over the recording, do not depend
    on the position. MiniRocket (Dempster et al. 2021, arXiv 2012.08791) uses such shares as its only features.

    Windows extend into neighbouring patches. Samples of hidden patches are replaced by 0 beforehand, so that the responses
    of visible patches do not depend on them.

    Args:
        params: number of filters and offsets.
        patch: number P of samples per patch.
        width: width D of a token.
    """

    def __init__(self, params: StemParams, patch: int, width: int) -> None:
        super().__init__()
        self.patch, self.offsets = patch, params.offsets
        self.filters = nn.Linear(patch, params.filters)
        self.to_token = nn.Linear(params.filters * params.offsets, width)
        with torch.no_grad():
            self.filters.weight.copy_(initial_filters(params.filters, patch))
            low, high = (torch.tensor(v).log() for v in THRESHOLDS)
            size = torch.exp(low + (high - low) * torch.rand(params.filters))
            self.filters.bias.copy_(size * torch.where(torch.rand(params.filters) < 0.5, -1.0, 1.0))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the responses (B, K, O, F) of the visible patches, relative to the thresholds.

        Args:
            x: (B, L, T) signal, as in ``Encoder.forward``.
            keep: (B, K) indices of visible patches in the flattened (L N) order; ``None`` for all.
        """
        if keep is not None:
            x = self._visible_only(x, keep)
        step = self.patch // self.offsets
        before = step * (self.offsets // 2)
        padded = F.pad(x, (before, step * self.offsets - before))
        windows = torch.stack(
            [
                rearrange(padded[..., k * step : k * step + x.shape[-1]], "b l (n p) -> b (l n) p", p=self.patch)
                for k in range(self.offsets)
            ],
            dim=2,
        )  # (B, L N, O, P)
        if keep is not None:
            windows = windows.gather(1, keep[:, :, None, None].expand(-1, -1, *windows.shape[2:]))
        responses: Tensor = self.filters(windows)
        return responses

    def _visible_only(self, x: Tensor, keep: Tensor) -> Tensor:
        """Return x (B, L, T) with 0 in all patches that are not in ``keep`` (B, K)."""
        patches = rearrange(x, "b l (n p) -> b (l n) p", p=self.patch)
        visible = torch.zeros_like(patches[..., 0], dtype=torch.bool).scatter(1, keep, True)
        return rearrange(torch.where(visible[..., None], patches, 0), "b (l n) p -> b l (n p)", l=x.shape[1])

    def tokens(self, responses: Tensor) -> Tensor:
        """Return what the responses (B, K, O, F) add to the tokens, (B, K, D)."""
        out: Tensor = self.to_token(rearrange(F.gelu(responses), "b k o f -> b k (o f)"))
        return out

    def shares(self, responses: Tensor) -> Tensor:
        """Return the share of responses (B, K, O, F) above their thresholds in every patch, (B, K, F) float32.

        The threshold is soft: a response r counts as sigmoid(r / ``SOFTNESS``).
        """
        return torch.sigmoid(responses.float() / SOFTNESS).mean(dim=2)


def initial_filters(count: int, patch: int) -> Tensor:
    """Return filters (count, P) with mean 0 and norm 1, each with ``TAPS`` random values of equal length, in the centre."""
    filters = torch.zeros(count, patch)
    for number in range(count):
        length = min(DILATIONS[number % len(DILATIONS)], max(patch // TAPS, 1))
        taps = torch.randn(min(TAPS, patch))
        spread = (taps - taps.mean()).repeat_interleave(length)
        start = (patch - len(spread)) // 2
        filters[number, start : start + len(spread)] = spread
    return filters / filters.norm(dim=1, keepdim=True).clamp_min(1e-6)
