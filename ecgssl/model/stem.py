"""Stem: filters applied at several offsets around every patch, and the shares of their responses above a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

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
"""Dilations whose filters ``Stem.shares`` applies together on a GPU. Short filters need fewer operations."""
THRESHOLDS = (0.03, 3.0)
"""Range of the absolute values of thresholds, in units of the normalised recording."""
SOFTNESS = 0.02
"""Width of the threshold of a share, in units of a response. A hard threshold would let rounding change an embedding.

Wider thresholds lose information (``docs/earlier-results.md``, section "Shares of random filters").
"""
CHUNK = 4
"""Recordings per step of ``Stem.shares`` on a CPU, so that the responses stay in its cache."""
COLUMNS = 512
"""Largest number of columns of a matrix product of ``Stem.shares`` on a CPU, if a patch has fewer."""


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
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self._shares(x, keep)
        kept = [None] * len(x) if keep is None else keep.split(CHUNK)
        return torch.cat([self._shares_on_cpu(part, at) for part, at in zip(x.split(CHUNK), kept, strict=False)])

    def _shares(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Return the shares with few operations, for GPUs and exported graphs: a matrix product per offset and group."""
        groups, order = [], []
        for dilations in GROUPS:
            start, stop = (end - self.support.start for end in support(max(dilations), self.patch))
            chosen = _numbers(len(self.filters), dilations)
            slopes = self.filters[chosen, self.support][:, start:stop] / SOFTNESS
            groups.append((slice(start, stop), slopes, 0.5 - self.thresholds[chosen] / SOFTNESS))
            order += chosen
        totals: list[Tensor] = []
        for windows in self._windows(x, self.share_offsets, keep):
            # one offset at a time, because all responses of a batch take several GB
            above = [F.linear(windows[..., part], slope, offset).clamp_(0, 1) for part, slope, offset in groups]
            totals = [total.add_(new) for total, new in zip(totals, above, strict=True)] if totals else above
        return torch.cat(totals, dim=-1)[..., _places(order)] / self.share_offsets

    def _shares_on_cpu(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Return the shares with few multiplications: a filter of dilation d is ``TAPS`` values on sums of d samples."""
        taps, patches = min(TAPS, self.patch), x.shape[-1] // self.patch
        count = len(x) * (x.shape[1] * patches if keep is None else keep.shape[1])
        # several offsets per product if there are few patches
        most = max(COLUMNS // max(count, 1), 1)
        together = max(n for n in range(1, self.share_offsets + 1) if self.share_offsets % n == 0 and n <= most)
        step = self.patch // self.share_offsets
        before = step * (self.share_offsets // 2)
        padded = F.pad(x, (before, self.patch - before))
        totals, order = [], []
        for dilation in dict.fromkeys(DILATIONS):
            start, stop = support(dilation, self.patch)
            length = (stop - start) // taps  # samples per value; less than the dilation if the patch is short
            chosen = _numbers(len(self.filters), (dilation,))
            offset = SOFTNESS / 2 - self.thresholds[chosen, None]
            slopes = torch.cat([self.filters[chosen, start:stop:length], offset], dim=1) / SOFTNESS  # (F', taps + 1)
            size = padded.shape[-1] - length + 1
            sums = torch.stack([padded[..., n : n + size] for n in range(length)]).sum(dim=0)
            windows = sums[..., start:].unfold(-1, x.shape[-1], length)[:, :, :taps, ::step]  # (B, L, taps, T / step)
            values = rearrange(windows, "b l s (n o c) -> o s c b (l n)", n=patches, c=together)
            if keep is not None:
                values = values.gather(4, keep.expand(*values.shape[:3], *keep.shape))
            columns = F.pad(values.flatten(2), (0, 0, 0, 1), value=1.0)  # (O / c, taps + 1, c B K)
            total = torch.mm(slopes, columns[0]).clamp_(0, 1)
            for part in columns[1:]:
                total.add_(torch.mm(slopes, part).clamp_(0, 1))
            totals.append(total)
            order += chosen
        every = torch.cat(totals)[_places(order)]
        return rearrange(every, "f (c b k) -> c b k f", c=together, b=len(x)).sum(dim=0) / self.share_offsets

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


@cache
def _numbers(count: int, dilations: tuple[int, ...]) -> list[int]:
    """Return the numbers of those of ``count`` filters that have one of the dilations."""
    return [number for number in range(count) if DILATIONS[number % len(DILATIONS)] in dilations]


def _places(order: list[int]) -> list[int]:
    """Return the place of each number 0, 1, ... in ``order``."""
    return sorted(range(len(order)), key=order.__getitem__)
