"""Frequency Dynamic Augmentation (CoRe-ECG, arXiv 2604.11359; related to FreRA, arXiv 2505.23181).

A learned importance map over frequency gives the probability that a bin is critical. Critical bins are not changed. The
amplitude, and optionally the phase, of the other bins is perturbed in proportion to their unimportance. Leads with the same
map have the same random draw. If all limb leads share a map, they pass through the same linear filter, which preserves the
laws of Einthoven and Goldberger.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config import FDAParams
from ecgssl.model.draws import normal, uniform
from ecgssl.model.fda_dynamic import SpectrumTerm, hats
from ecgssl.model.recorded import by_length
from ecgssl.signal.leads import LEADS, LIMB_LEADS
from ecgssl.signal.normalise import recorded_samples


class FDA(nn.Module):
    """Learnable augmentation of a batch of ECGs in the frequency domain.

    Args:
        params: parameters of the augmentation.
        leads: canonical names of the rows.
        sampling_rate: sampling rate in Hz.
        band: (low, high) passband of the cleaned signal in Hz. The budget and the overall strength are computed from bins
            in this band at or above ``params.protect_below``, because bins without signal could otherwise satisfy them.

    The map has one logit per lead group and knot. Knots are equally spaced from 0 Hz to the Nyquist frequency, and the logits
    are interpolated linearly. The map therefore applies to any number of samples.
    """

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
        self.dynamic = SpectrumTerm(params.knots) if params.dynamic else None

    def frequencies(self, samples: int) -> Tensor:
        """Return the frequencies (F,) in Hz of the rFFT bins of ``samples`` samples."""
        bins = samples // 2 + 1
        return torch.arange(bins, device=self.importance.device) * (self.sampling_rate / samples)

    def at_bins(self, knots: Tensor, samples: int) -> Tensor:
        """Return the linear interpolation of values at knots (..., K) to the rFFT bins (..., F) of ``samples`` samples."""
        # use a matrix product, because gradients of indexing depend on the order of threads
        return knots @ hats(knots.shape[-1], samples, knots.device).to(knots.dtype)

    def in_band(self, samples: int) -> Tensor:
        """Return a boolean mask (F,) of the bins in the band of the budget."""
        f = self.frequencies(samples)
        return (f >= self.band[0]) & (f <= self.band[1])

    def protected(self, samples: int) -> Tensor:
        """Return a boolean mask (F,) of the bins that are never changed, including 0 Hz."""
        f = self.frequencies(samples)
        return (f < self.params.protect_below) | (f == 0)

    def logits(self, spectrum: Tensor | None = None, samples: int = 0) -> Tensor:
        """Return the map at its knots: (1, G, K) for the static map, (B, G, K) with the dynamic term.

        Args:
            spectrum: (B, L, F) rFFT of recordings of ``samples`` samples, for the dynamic term; ``None`` for the static map.
        """
        static = self.importance.float()[None]
        if self.dynamic is None or spectrum is None:
            return static
        return static + self.dynamic(spectrum, samples, self.group, len(self.group_names))

    def probability(self, logits: Tensor, samples: int) -> Tensor:
        """Return the probability (..., G, F) that a bin is critical, from the map at its knots (..., G, K)."""
        return torch.sigmoid(self.at_bins(logits, samples))

    def energy(self, spectrum: Tensor, samples: int) -> Tensor:
        """Return the share (B, G, F) of each lead group and bin in the energy of a recording in the band; sum 1.

        It is 0 for bins outside the band, and for recordings without energy in the band.

        Args:
            spectrum: (B, L, F) rFFT of recordings of ``samples`` samples.
        """
        size = spectrum.detach().abs()
        size = size / size.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)  # so that squares do not overflow
        power = size.square() * self.in_band(samples)  # (B, L, F)
        member = nn.functional.one_hot(self.group, len(self.group_names)).to(power.dtype)  # (L, G)
        share = torch.einsum("blf,lg->bgf", power, member)
        return share / share.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)

    def kept_fraction(self, x: Tensor, recorded: Tensor | None = None) -> Tensor:
        """Return the share of the energy of recordings (B, L, T) that the map keeps: (B,), before the bound of ``bounded``.

        Energy is counted and not bins, because nearly all energy of an ECG is below 15 Hz: a map could otherwise reach the
        budget with bins that contain little signal. The share does not depend on circular shifts of the recorded samples,
        so both views of a recording have the same value. ``recorded`` is as in ``forward``.
        """
        if recorded is not None:
            out = torch.zeros(len(x), device=x.device)
            for rows, count in by_length(recorded):
                out[rows] = self.kept_fraction(x[rows, :, :count])
            return out
        samples = x.shape[-1]
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.rfft(x.float(), dim=-1)
            chance = self.probability(self.logits(spectrum, samples), samples)  # (1 or B, G, F)
            return (chance * self.energy(spectrum, samples)).sum(dim=(1, 2))

    def bounded(self, chance: Tensor, energy: Tensor) -> Tensor:
        """Return probabilities (B, G, F) that keep at most ``1 - perturb_at_least`` of the energy of every recording.

        Probabilities of a recording that keep more are multiplied by one factor.

        Args:
            chance: (1 or B, G, F) probability that a bin is critical.
            energy: (B, G, F) result of ``energy``.
        """
        kept = (chance * energy).sum(dim=(1, 2), keepdim=True)
        return chance * ((1 - self.params.perturb_at_least) / kept.clamp_min(1e-6)).clamp(max=1)

    def budget(self, kept: Tensor) -> Tensor:
        """Return the budget loss of a mean kept fraction. Without it, the map could keep all energy.

        ``square``: squared distance from ``keep``, which also prevents a map that keeps nothing. ``l1``: the kept fraction, as
        in FreRA (arXiv 2505.23181).
        """
        return kept if self.params.budget == "l1" else (kept - self.params.keep) ** 2

    def draws(self, batch: int, generator: torch.Generator) -> list[Tensor]:
        """Return random numbers in [0, 1) at the knots, (B, G, K), for ``gain``: gates, amplitudes and, if used, phases."""
        shape = (batch, *self.importance.shape)
        return [uniform(*shape, generator=generator) for _ in range(3 if self.params.phase else 2)]

    def gain(self, chance: Tensor, draws: Sequence[Tensor], samples: int, temperature: float) -> Tensor:
        """Return the gain (B, G, F) of every bin for given random numbers, complex if phases are perturbed.

        A random gate decides whether a bin is critical. It is a binary-concrete relaxation (Maddison et al. 2017), hard in the
        forward pass and soft in the backward pass. The gain of critical and protected bins is exactly 1.

        Args:
            chance: (1 or B, G, F) probability that a bin is critical.
            draws: result of ``draws``.
            samples: number T of samples.
            temperature: temperature of the gate.
        """
        u = draws[0].clamp(1e-4, 1 - 1e-4)
        draw = 2 * draws[1] - 1
        # draw noise per knot and interpolate it, because independent noise in 0.1 Hz bins would average out
        soft = torch.sigmoid((torch.logit(chance, 1e-6) + self.at_bins(torch.logit(u), samples)) / temperature)
        # the parentheses make the forward value exactly 0 or 1
        gate = (soft > 0.5).float() + (soft - soft.detach())
        live = self.in_band(samples)
        # divide by the mean over the band, so that the map determines which bins are perturbed but not the overall strength
        mean = ((1 - chance) * live).sum(dim=-1, keepdim=True) / live.sum().clamp_min(1)
        unimportance = (1 - chance) / mean.clamp_min(1e-6)
        change = (self.params.strength * unimportance * self.at_bins(draw, samples)).clamp(-1, 1)
        gain = 1 + (1 - gate) * change
        if self.params.phase:
            turn = 2 * draws[2] - 1
            angle = self.params.phase * (unimportance * self.at_bins(turn, samples)).clamp(-1, 1)
            # exclude the Nyquist bin: it is real, so a phase change would change its amplitude
            turned = self.frequencies(samples) < self.sampling_rate / 2 * (1 - 1e-6)
            gain = torch.polar(gain, (1 - gate) * angle * turned)
        return torch.where(self.protected(samples), torch.ones_like(gain), gain)

    def forward(
        self, x: Tensor, temperature: float, generator: torch.Generator, recorded: Tensor | None = None
    ) -> Tensor:
        """Return an augmented view of each recording.

        The spectrum of a short recording is that of its recorded samples only.

        Args:
            x: (B, L, T) normalised signal; absent leads are 0.
            temperature: temperature of the gate.
            generator: random generator on the device of ``x``.
            recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.

        Returns:
            (B, L, T) view, 0 in samples that were not recorded; ``x`` itself if the augmentation is of kind ``none``.
        """
        if self.params.kind == "none":
            return x
        if self.params.kind == "jitter_scale":
            noisy = _jitter_scale(x, generator)
            return (
                noisy if recorded is None else torch.where(recorded_samples(recorded, x.shape[-1])[:, None], noisy, 0)
            )
        draws = self.draws(len(x), generator)
        with torch.autocast(x.device.type, enabled=False):
            # compute in fp32, because CUDA has no bf16 FFT, and half-precision FFTs only for powers of two
            if recorded is None:
                return self._filtered(x.float(), draws, temperature)
            out = torch.zeros_like(x, dtype=torch.float32)
            for rows, count in by_length(recorded):
                part = self._filtered(x[rows, :, :count].float(), [draw[rows] for draw in draws], temperature)
                out[rows, :, :count] = part
            return out

    def _filtered(self, x: Tensor, draws: Sequence[Tensor], temperature: float) -> Tensor:
        spectrum = torch.fft.rfft(x, dim=-1)
        samples = x.shape[-1]
        chance = self.probability(self.logits(spectrum, samples), samples)
        chance = self.bounded(chance, self.energy(spectrum, samples))
        gain = self.gain(chance, draws, samples, temperature)  # (B, G, F)
        gain = gain.index_select(1, self.group)  # (B, L, F)
        return torch.fft.irfft(spectrum * gain, n=samples, dim=-1)


def _jitter_scale(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return x with a random gain per recording and white noise, both with standard deviation 0.1 (used in the ablation)."""
    gain = 1 + 0.1 * normal(x.shape[0], generator=generator)
    noise = normal(*x.shape, generator=generator)
    return x * rearrange(gain, "b -> b 1 1") + 0.1 * noise
