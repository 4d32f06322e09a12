"""Stem: filters applied at several offsets around every patch, and the shares of their responses above a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from ecgssl.config.model import StemParams
from ecgssl.model.autocorrelation import Autocorrelation
from ecgssl.model.recorded import recorded_columns

TAPS = 9
"""Number of independent values of a filter, as in ROCKET (Dempster et al. 2020, arXiv 1910.13051)."""
DILATIONS = (1, 1, 2, 2, 3, 5)
"""Samples per value of successive filters. A filter of dilation 5 covers 45 samples."""
THRESHOLDS = (0.03, 3.0)
"""Range of the absolute values of thresholds, in units of the normalised recording."""
SOFTNESS = 0.02
"""Width of the threshold of a share, in units of a response. A hard threshold would let rounding change an embedding.

Wider thresholds lose information (``docs/earlier-results.md``, section "Shares of random filters").
"""
CHUNK = 4
"""Recordings per step on a CPU, so that the responses stay in its cache: of the shares, and of the tokens without gradients."""
COLUMNS = 512
"""Number of columns of a matrix product of ``Stem.shares``, up to which several offsets are computed together."""


class Stem(nn.Module):
    """Fixed random filters of one patch length, applied at several offsets around every patch of a lead.

    A linear patch embedding represents a QRS complex differently at every position in the patch. The share of responses
    above a threshold over the recording does not depend on the position. MiniRocket (Dempster et al. 2021, arXiv
    2012.08791) uses such shares as its only features. Filters and thresholds are drawn once and not trained; the map from
    responses to tokens is trained.

    Windows extend into neighbouring patches. Samples of hidden patches are replaced by 0 beforehand, so that the responses
    of visible patches do not depend on them.

    Args:
        params: number of filters and offsets, and the parts of an embedding.
        patch: number P of samples per patch.
        width: width D of a token.
        samples: number T of samples of a signal.
    """

    filters: Tensor
    thresholds: Tensor

    def __init__(self, params: StemParams, patch: int, width: int, samples: int) -> None:
        super().__init__()
        self.patch, self.offsets, self.share_offsets = patch, params.offsets, params.share_offsets
        self.shared, self.correlated = params.shared, params.autocorrelation.filters
        step = patch // params.share_offsets
        self.autocorrelation = (
            Autocorrelation(params.autocorrelation, step, samples // step) if self.correlated else None
        )
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
        if torch.is_grad_enabled() or not in_chunks(x):
            return self._tokens(x, keep)
        return torch.cat([self._tokens(*part) for part in chunks(x, keep)])

    def _tokens(self, x: Tensor, keep: Tensor | None) -> Tensor:
        filters, responses = self.filters[:, self.support], []
        for windows in self._windows(x, self.offsets, keep):
            responses.append(F.linear(windows, filters, -self.thresholds))
        out: Tensor = self.to_token(F.gelu(torch.cat(responses, dim=-1)))
        return out

    def shares(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the share of responses above their thresholds around patches of x (B, L, T), (B, K, F) float32.

        F is the number of filters with shares (``StemParams.shared``).

        With ``keep`` (B, K), only these patches are computed. Their values are the same as without it: the windows of the
        responses extend into all neighbouring patches.

        The threshold is soft: a response r, relative to its threshold, counts as r / ``SOFTNESS`` + 1/2, limited to 0 and 1.
        The responses are computed in float32, because rounding to bfloat16 exceeds the width of the threshold.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.shares(x.float(), keep)
        if in_chunks(x):
            return torch.cat([self._shares(*part) for part in chunks(x, keep)])
        return (self._shares_of_graph if is_graph() and x.device.type == "cpu" else self._shares)(x, keep)

    def _shares(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Return the shares by matrix products, one for each dilation and offset (all responses together take several GB)."""
        patches, step = x.shape[-1] // self.patch, self.patch // self.share_offsets
        count = len(x) * (x.shape[1] * patches if keep is None else keep.shape[1])
        # several offsets per product if there are few patches
        most = max(COLUMNS // max(count, 1), 1)
        together = max(n for n in range(1, self.share_offsets + 1) if self.share_offsets % n == 0 and n <= most)
        totals, order = [], []
        for chosen, slopes, offsets, sums, length in self._by_dilation(x, self.shared):
            windows = sums.unfold(-1, x.shape[-1], length)[:, :, : slopes.shape[1], ::step]  # (B, L, taps, T / step)
            values = rearrange(windows, "b l s (n o c) -> o s c b (l n)", n=patches, c=together)
            if keep is not None:
                values = values.gather(4, keep.expand(*values.shape[:3], *keep.shape))
            columns = F.pad(values.flatten(2), (0, 0, 0, 1), value=1.0)  # (O / c, taps + 1, c B K)
            weights = torch.cat([slopes, offsets[:, None]], dim=1)
            total = torch.mm(weights, columns[0]).clamp_(0, 1)
            for part in columns[1:]:
                total.add_(torch.mm(weights, part).clamp_(0, 1))
            totals.append(total)
            order += chosen
        every = torch.cat(totals)[_places(order)]
        return rearrange(every, "f (c b k) -> c b k f", c=together, b=len(x)).sum(dim=0) / self.share_offsets

    def _shares_of_graph(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Return the shares by convolutions, for exported graphs: few nodes, and the fastest form in onnxruntime."""
        found, order = [], []
        for chosen, above in self._above(x, self.shared):
            found.append(reduce(above, "b f (n o) -> b f n", "mean", o=self.share_offsets))
            order += chosen
        every = torch.cat(found, dim=1)[:, _places(order)]
        shares = rearrange(every, "(b l) f n -> b (l n) f", l=x.shape[1])
        return shares if keep is None else shares.gather(1, keep[..., None].expand(-1, -1, shares.shape[-1]))

    def rhythm(self, x: Tensor, lead_mask: Tensor | None = None, recorded: Tensor | None = None) -> Tensor | None:
        """Return the features (B, M) float32 of the autocorrelation of responses; ``None`` if the stem has none.

        A series of ``Autocorrelation`` is the mean over the recorded leads of the responses of one filter above its
        threshold, as in ``shares``, at every step. Arguments as in ``Encoder.forward``.
        """
        if self.autocorrelation is None:
            return None
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.rhythm(x.float(), lead_mask, recorded)
        there = None
        if recorded is not None:
            columns = recorded_columns(recorded, x.shape[-1] // self.patch, self.patch)
            there = columns.repeat_interleave(self.share_offsets, dim=1)  # (B, T / step)
        return self.autocorrelation(self._series(x, lead_mask), there)

    def _series(self, x: Tensor, lead_mask: Tensor | None) -> Tensor:
        """Return the series (B, C, T / step) of ``rhythm``."""
        weight = torch.ones_like(x[..., 0]) if lead_mask is None else lead_mask.to(x.dtype)  # (B, L)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1)
        found, order = [], []
        for chosen, above in self._above(x, self.correlated):
            leads = rearrange(above, "(b l) f s -> b l (f s)", l=x.shape[1])
            found.append(rearrange(weight[:, None] @ leads, "b 1 (f s) -> b f s", f=len(chosen)))
            order += chosen
        return torch.cat(found, dim=1)[:, _places(order)]

    def _above(self, x: Tensor, count: int) -> Iterator[tuple[list[int], Tensor]]:
        """Yield, for each dilation, the numbers of its filters and how far each response is above its threshold, from 0 to 1.

        The second value is (B L, F', T / step), with the place of each offset of each patch.
        """
        step = self.patch // self.share_offsets
        for chosen, slopes, offsets, sums, length in self._by_dilation(x, count):
            used = x.shape[-1] - step + 1 + (slopes.shape[1] - 1) * length
            each = rearrange(sums[..., :used], "b l s -> (b l) 1 s")
            yield chosen, F.conv1d(each, slopes[:, None], offsets, stride=step, dilation=length).clamp(0, 1)

    def _by_dilation(self, x: Tensor, count: int) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor, int]]:
        """Yield the parts of the shares of each dilation: a filter of dilation d is ``TAPS`` values on sums of d samples.

        Args:
            x: (B, L, T) signal.
            count: number of filters; the first ones are used.

        Yields:
            Numbers of the F' filters, slopes (F', taps), offsets (F',), sums (B, L, S), and samples d per value. The response
            of slope s at a position t has the sums at t + s d.
        """
        taps = min(TAPS, self.patch)
        before = self.patch // self.share_offsets * (self.share_offsets // 2)
        padded = F.pad(x, (before, self.patch - before))
        for dilation in dict.fromkeys(DILATIONS):
            chosen = _numbers(count, dilation)
            if not chosen:
                continue
            start, stop = support(dilation, self.patch)
            length = (stop - start) // taps  # less than the dilation if the patch is short
            size = padded.shape[-1] - start - length + 1
            sums = torch.stack([padded[..., n : n + size] for n in range(start, start + length)]).sum(dim=0)
            slopes = self.filters[chosen, start:stop:length] / SOFTNESS
            yield chosen, slopes, 0.5 - self.thresholds[chosen] / SOFTNESS, sums, length

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


def is_graph() -> bool:
    """Return whether the model is traced, for a graph or for ``torch.compile``."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def in_chunks(x: Tensor) -> bool:
    """Return whether a batch is computed ``CHUNK`` recordings at a time."""
    return x.device.type == "cpu" and not is_graph()


def chunks(x: Tensor, keep: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield ``CHUNK`` recordings at a time of x (B, L, T), with their part of ``keep`` (B, K)."""
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK], None if keep is None else keep[start : start + CHUNK]


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
def _numbers(count: int, dilation: int) -> list[int]:
    """Return the numbers of those of ``count`` filters that have a dilation."""
    return [number for number in range(count) if DILATIONS[number % len(DILATIONS)] == dilation]


def _places(order: list[int]) -> list[int]:
    """Return the place of each number 0, 1, ... in ``order``."""
    return sorted(range(len(order)), key=order.__getitem__)
