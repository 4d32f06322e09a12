"""Frequency Dynamic Augmentation (CoRe-ECG, arXiv 2604.11359; relative of FreRA, arXiv 2505.23181).

A learned importance map over frequency says which bins are critical. Critical bins pass unchanged; the others are perturbed
in amplitude in proportion to their unimportance. Leads that share a map share the draw, so a filter common to the limb leads
keeps Einthoven's and Goldberger's laws exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config import FDAParams
from ecgssl.model.draws import normal, uniform
from ecgssl.signal.leads import LEADS, LIMB_LEADS


class FDA(nn.Module):
    """Learnable augmentation of a batch of ECGs in the frequency domain.

    Args:
        params: see ``FDAParams``.
        leads: canonical names of the rows.
        sampling_rate: Hz.
        band: (low, high) Hz in which the cleaned signal lives; the budget counts only these bins, because closing bins
            that carry nothing would satisfy it for free.

    The map is one logit per knot, linear between 0 Hz and Nyquist, so it serves any length and rate of signal.
    """

    band_bins: Tensor
    group: Tensor

    def __init__(
        self, params: FDAParams, leads: Sequence[str], sampling_rate: float, band: tuple[float, float]
    ) -> None:
        super().__init__()
        self.params = params
        self.sampling_rate = sampling_rate
        self.band = (max(band[0], params.protect_below), band[1])
        one_map_for = {"all": LEADS, "limb": LIMB_LEADS, "none": ()}[params.share]
        names = [params.share if lead in one_map_for else lead for lead in leads]
        self.group_names = list(dict.fromkeys(names))
        self.register_buffer("group", torch.tensor([self.group_names.index(n) for n in names]), persistent=False)
        self.importance = nn.Parameter(torch.zeros(len(self.group_names), params.knots))

    def frequencies(self, samples: int) -> Tensor:
        """Hz of the rFFT bins of a signal of that length: (F,)."""
        bins = samples // 2 + 1
        return torch.arange(bins, device=self.importance.device) * (self.sampling_rate / samples)

    def at_bins(self, knots: Tensor, samples: int) -> Tensor:
        """Linear interpolation from knots (..., K) to the rFFT bins (..., F) of a signal of that length."""
        position = self.frequencies(samples) / (self.sampling_rate / 2) * (knots.shape[-1] - 1)
        distance = (position[None] - torch.arange(knots.shape[-1], device=knots.device)[:, None]).abs()
        # a product with hat functions, because the gradient of indexing depends on the order of threads
        return knots @ (1 - distance).clamp_min(0).to(knots.dtype)

    def probability(self, samples: int) -> Tensor:
        """(G, F): chance that a bin is critical, by lead group."""
        return torch.sigmoid(self.at_bins(self.importance.float(), samples))

    def kept_fraction(self, samples: int) -> Tensor:
        """Mean chance of being critical over the bins of the band: the quantity that the budget holds."""
        f = self.frequencies(samples)
        live = (f >= self.band[0]) & (f <= self.band[1])
        return self.probability(samples)[:, live].mean()

    def budget(self, samples: int) -> Tensor:
        """(kept fraction - target)^2: what keeps the map from collapsing to identity (or to nothing)."""
        return (self.kept_fraction(samples) - self.params.keep) ** 2

    def factors(self, batch: int, samples: int, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw the real gain of every bin: (B, G, F), exactly 1 where the bin is critical.

        The gate is a binary-concrete relaxation (Maddison et al. 2017) made hard in the forward pass and left soft in the
        backward one, so "critical" means untouched, not nearly untouched.
        """
        groups, knots = self.importance.shape
        u = uniform(batch, groups, knots, generator=generator).clamp(1e-4, 1 - 1e-4)
        draw = 2 * uniform(batch, groups, knots, generator=generator) - 1
        # noise is drawn per knot and interpolated: independent 0.1 Hz bins would average to no augmentation at all
        logits = self.at_bins(self.importance.float() + torch.logit(u), samples)
        soft = torch.sigmoid(logits / temperature)
        # the brackets make the sum exactly 0 or 1
        gate = (soft > 0.5).float() + (soft - soft.detach())
        unimportance = 1 - self.probability(samples)
        # mean unimportance scales out, so a map far on one side changes what is perturbed and not how much
        unimportance = unimportance / unimportance.mean(dim=-1, keepdim=True).clamp_min(1e-6)
        change = (self.params.strength * unimportance * self.at_bins(draw, samples)).clamp(-1, 1)
        gain = 1 + (1 - gate) * change
        protected = self.frequencies(samples) < self.params.protect_below
        return torch.where(protected, torch.ones_like(gain), gain)

    def forward(self, x: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """One augmented view.

        Args:
            x: (B, L, T) normalised signal.
            temperature: of the gate.
            generator: on the device of ``x``.

        Returns:
            (B, L, T), float32.
        """
        if self.params.kind == "none":
            return x
        if self.params.kind == "jitter_scale":
            return _jitter_scale(x, generator)
        with torch.autocast(x.device.type, enabled=False):
            # half-precision FFTs need powers of two on CUDA and do not exist in bf16
            spectrum = torch.fft.rfft(x.float(), dim=-1)
            gain = self.factors(x.shape[0], x.shape[-1], temperature, generator)  # (B, G, F)
            gain = gain.index_select(1, self.group)  # (B, L, F)
            return torch.fft.irfft(spectrum * gain, n=x.shape[-1], dim=-1)


def _jitter_scale(x: Tensor, generator: torch.Generator) -> Tensor:
    """The usual time-domain pair, for ablation: one gain per recording and white noise, 10 % each."""
    gain = 1 + 0.1 * normal(x.shape[0], generator=generator)
    noise = normal(*x.shape, generator=generator)
    return x * rearrange(gain, "b -> b 1 1") + 0.1 * noise
