"""Autocorrelation over time of the responses of the stem, which describes the rhythm of a recording."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ecgssl.config.model import AutocorrelationParams

LEVELS = (-0.3, 0.95)
"""Lowest and highest level of the shares of lags."""
SOFTNESS = 0.05
"""Width of the threshold of a share of lags. A hard threshold would let rounding change an embedding."""
LEAST_VARIANCE = 1e-6
"""Smallest variance by which a covariance is divided."""
FLOOR = 1e-4
"""Variance that is added before the logarithm, so that it is finite for a constant series."""


class Autocorrelation(nn.Module):
    """Features of the autocorrelation of series over a recording: values at some lags, and shares of lags above some levels.

    Means over a recording do not contain the time between beats. The autocorrelation of the responses of a filter to QRS
    complexes has peaks at the RR interval and its multiples. The shares of the lags above a level depend less on the heart
    rate than the values at single lags: the peaks are high in a regular rhythm, and low in atrial fibrillation.

    The autocorrelation is the biased estimate (Box, Jenkins and Reinsel, Time Series Analysis, section 2.1.5): the sum of
    products at a lag, divided by the sum of squares. At a lag t of a recording of length T it is at most about 1 - t / T.

    Args:
        params: number of series, lags and levels.
        step: samples of the signal per sample of a series.
        length: number S of samples of a series.
    """

    cosines: Tensor
    levels: Tensor

    def __init__(self, params: AutocorrelationParams, step: int, length: int) -> None:
        super().__init__()
        longest = params.longest // step
        self.lags, self.shortest = params.lags(step), params.shortest // step
        self.points = 2 ** math.ceil(math.log2(length + longest))  # with zeros, no product wraps around
        frequency, lag = torch.arange(self.points // 2 + 1), torch.arange(longest + 1)
        weight = torch.full((len(frequency), 1), 2.0 / self.points)
        weight[[0, -1]] /= 2  # these frequencies occur once in the whole spectrum, the others twice
        cosines = weight * torch.cos(2 * math.pi / self.points * frequency[:, None] * lag)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("levels", torch.linspace(*LEVELS, params.levels), persistent=False)

    def forward(self, series: Tensor, recorded: Tensor | None = None) -> Tensor:
        """Return the features (B, M) of each recording.

        Args:
            series: (B, C, S) float32 series.
            recorded: (B, S) bool, recorded samples; ``None`` for all. Other samples have no influence if they are finite.

        Returns:
            M = C (1 + lags + levels) values: first the logarithms of the C variances, then the correlations at the lags, and
            the shares of the lags from ``shortest`` to ``longest`` above the levels, series by series.
        """
        weight = torch.ones_like(series[:, :1]) if recorded is None else recorded[:, None].to(series.dtype)
        count = weight.sum(dim=-1, keepdim=True).clamp_min(1)  # (B, 1, 1)
        centred = (series - (series * weight).sum(dim=-1, keepdim=True) / count) * weight
        spectrum = torch.view_as_real(torch.fft.rfft(centred, n=self.points)).square().sum(dim=-1)
        covariance = spectrum @ self.cosines / count  # (B, C, longest + 1)
        variance = covariance[..., :1]
        correlation = covariance / variance.clamp_min(LEAST_VARIANCE)
        above = (correlation[..., self.shortest :, None] - self.levels) / SOFTNESS + 0.5
        parts = [
            torch.log(variance.clamp_min(0) + FLOOR),
            correlation[..., self.lags],
            above.clamp(0, 1).mean(dim=2),  # (B, C, levels)
        ]
        return torch.cat([part.flatten(1) for part in parts], dim=1)
