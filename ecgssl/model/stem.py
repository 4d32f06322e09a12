"""Stem: filters applied at several offsets around every patch, and the shares of their responses above a threshold."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config.model import StemParams

TAPS = 9
"""Number of independent values of a filter, as in ROCKET (Dempster et al. 2020, arXiv 1910.13051)."""
DILATIONS = (1, 1, 2, 2, 3, 5)
"""Samples per value of successive filters. A filter of dilation 5 covers 45 samples."""
GROUPS = ((1, 2), (3, 5))
"""Dilations whose filters are applied together by ``Stem.shares``. Short filters need fewer operations."""
THRESHOLDS = (0.03, 3.0)
"""Range of the absolute values of thresholds, in units of the normalised recording."""
SOFTNESS = 0.02
"""Width of the threshold of a share, in units of a response. A hard threshold would let rounding change an embedding.

Wider thresholds lose information (``docs/earlier-results.md``, section "Shares of random filters").
"""
CHUNK = 4
"""Recordings per step of ``Stem.shares`` on a CPU, so that the responses stay in its cache."""


class Stem(nn.Module):
    """Fixed random filters of one patch length, applied at several offsets around every patch of a lead.

    A linear patch embedding represents a QRS complex differently at every position in the patch. The share of responses
    above a threshold over the recording does not depend on the position. MiniRocket (Dempster et al. 2021, arXiv
    2012.08791) uses such shares as its only features. Filters and thresholds are drawn once and not trained; the map from
    responses to tokens is trained.

    Windows extend into neighbouring patches. Samples of hidden patches are replaced by 0 beforehand, so that the responses
    of visible patches do not depend on them.

    Args:
        params: number of filters and offsets.
        patch: number P of samples per patch.
        width: width D of a token.
    """

    filters: Tensor
    thresholds: Tensor

    def __init__(self, params: StemParams, patch: int, width: int) -> None:
        super().__init__()
        self.patch, self.offsets, self.share_offsets = patch, params.offsets, params.share_offsets
        self.to_token = nn.Linear(params.filters * params.offsets, width)
        low, high = (torch.tensor(v).log() for v in THRESHOLDS)
        size = torch.exp(low + (high - low) * torch.rand(params.filters))
        self.register_buffer("filters", random_filters(params.filters, patch))
        self.register_buffer("thresholds", size * torch.where(torch.rand(params.filters) < 0.5, -1.0, 1.0))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return what the stem adds to the tokens of the visible patches, (B, K, D).

        Args:
            x: (B, L, T) signal, as in ``Encoder.forward``.
            keep: (B, K) indices of visible patches in the flattened (L N) order; ``None`` for all.
        """
        if keep is not None:
            x = self._visible_only(x, keep)
        filters, responses = self.filters[:, self.support], []
        for windows in self._windows(x, self.offsets, keep):
            responses.append(F.linear(windows, filters, -self.thresholds))
        out: Tensor = self.to_token(F.gelu(torch.cat(responses, dim=-1)))
        return out

    def shares(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the share of responses above their thresholds around patches of x (B, L, T), (B, K, F) float32.

        With ``keep`` (B, K), only these patches are computed. Their values are the same as without it: the windows of the
        responses extend into all neighbouring patches.

        The threshold is soft: a response r, relative to its threshold, counts as r / ``SOFTNESS`` + 1/2, limited to 0 and 1.
        The responses are computed in float32, because rounding to bfloat16 exceeds the width of the threshold.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.shares(x.float(), keep)
        groups, order = self._groups()
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self._shares(x, keep, groups)[..., order]
        kept = [None] * len(x) if keep is None else keep.split(CHUNK)
        parts = [self._shares(part, at, groups) for part, at in zip(x.split(CHUNK), kept, strict=False)]
        return torch.cat(parts)[..., order]

    def _groups(self) -> tuple[list[tuple[slice, Tensor, Tensor]], list[int]]:
        """Return the samples in ``support``, slopes (F', S), offsets (F',) of each group, and the order of all filters."""
        groups, members = [], []
        first = self.support.start
        for dilations in GROUPS:
            part = slice(*support(max(dilations), self.patch))
            chosen = [n for n in range(len(self.filters)) if DILATIONS[n % len(DILATIONS)] in dilations]
            within = slice(part.start - first, part.stop - first)
            groups.append((within, self.filters[chosen, part] / SOFTNESS, 0.5 - self.thresholds[chosen] / SOFTNESS))
            members += chosen
        return groups, sorted(range(len(members)), key=members.__getitem__)

    def _shares(self, x: Tensor, keep: Tensor | None, groups: list[tuple[slice, Tensor, Tensor]]) -> Tensor:
        """Return the shares (B, K, F) of the filters in the order of the groups."""
        totals: list[Tensor] = []
        for windows in self._windows(x, self.share_offsets, keep):
            # one offset at a time, because all responses of a batch take several GB
            above = [F.linear(windows[..., part], slope, offset).clamp_(0, 1) for part, slope, offset in groups]
            totals = [total.add_(new) for total, new in zip(totals, above, strict=True)] if totals else above
        return torch.cat(totals, dim=-1) / self.share_offsets

    @property
    def support(self) -> slice:
        """Samples of a window outside which the values of all filters are 0."""
        return slice(*support(max(DILATIONS), self.patch))

    def _windows(self, x: Tensor, offsets: int, keep: Tensor | None) -> Iterator[Tensor]:
        """Yield the ``support`` (B, K, S) of the windows at each offset, centred on the patches ``keep`` or on all.

        The offsets are steps of ``patch / offsets`` samples.
        """
        step = self.patch // offsets
        before = step * (offsets // 2)
        padded = F.pad(x, (before, step * offsets - before))
        for k in range(offsets):
            shifted = padded[..., k * step : k * step + x.shape[-1]]
            windows = rearrange(shifted, "b l (n p) -> b (l n) p", p=self.patch)[..., self.support]
            yield windows if keep is None else windows.gather(1, keep[..., None].expand(-1, -1, windows.shape[-1]))

    def _visible_only(self, x: Tensor, keep: Tensor) -> Tensor:
        """Return x (B, L, T) with 0 in all patches that are not in ``keep`` (B, K)."""
        patches = rearrange(x, "b l (n p) -> b (l n) p", p=self.patch)
        visible = torch.zeros_like(patches[..., 0], dtype=torch.bool).scatter(1, keep, True)
        return rearrange(torch.where(visible[..., None], patches, 0), "b (l n) p -> b l (n p)", l=x.shape[1])


def random_filters(count: int, patch: int) -> Tensor:
    """Return filters (count, P) with mean 0 and norm 1, each with ``TAPS`` random values of equal length, in the centre."""
    filters = torch.zeros(count, patch)
    for number in range(count):
        start, stop = support(DILATIONS[number % len(DILATIONS)], patch)
        taps = torch.randn(min(TAPS, patch))
        filters[number, start:stop] = (taps - taps.mean()).repeat_interleave((stop - start) // len(taps))
    return filters / filters.norm(dim=1, keepdim=True).clamp_min(1e-6)


def support(dilation: int, patch: int) -> tuple[int, int]:
    """Return the first sample, and the one after the last, of the filters with a dilation in a patch."""
    taps = min(TAPS, patch)
    length = taps * min(dilation, max(patch // TAPS, 1))
    start = (patch - length) // 2
    return start, start + length
