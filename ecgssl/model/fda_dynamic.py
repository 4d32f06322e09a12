"""Dynamic term of the FDA map: logits that depend on the spectrum of the recording."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUIETEST = 1e-6
"""Lower bound of the power at a knot, relative to the strongest knot of the lead."""


def hats(knots: int, samples: int, device: torch.device) -> Tensor:
    """Return the weights (K, F) of linear interpolation from knots to the rFFT bins of ``samples`` samples.

    Knots are equally spaced from 0 Hz to the Nyquist frequency, so the weights do not depend on the sampling rate.
    """
    position = torch.arange(samples // 2 + 1, device=device) * (2 / samples * (knots - 1))
    return (1 - (position[None] - torch.arange(knots, device=device)[:, None]).abs()).clamp_min(0)


class SpectrumTerm(nn.Module):
    """Two-layer network that maps the log-spectrum of a recording to logits, which are added to the static map.

    The last layer is initialised to zero, so the initial map is the static map. A tanh limits the change of a logit.

    Args:
        knots: number K of knots.
        hidden: width of the hidden layer.
        limit: largest absolute change of a logit.
    """

    def __init__(self, knots: int, hidden: int = 32, limit: float = 4.0) -> None:
        super().__init__()
        self.limit = limit
        self.inner = nn.Linear(knots, hidden)
        self.outer = nn.Linear(hidden, knots)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, spectrum: Tensor, samples: int, group: Tensor, groups: int) -> Tensor:
        """Return the logits (B, G, K).

        Args:
            spectrum: (B, L, F) rFFT of T samples.
            samples: number T of samples.
            group: (L,) index of the group of every lead.
            groups: number G of lead groups.
        """
        seen = log_spectrum(spectrum, samples, group, groups, self.inner.in_features)
        return self.limit * torch.tanh(self.outer(F.gelu(self.inner(seen))))


def log_spectrum(spectrum: Tensor, samples: int, group: Tensor, groups: int, knots: int) -> Tensor:
    """Return the log-power (B, G, K) at every knot relative to the lead's strongest knot, averaged over each lead group.

    The values are natural logarithms divided by 10, between -1.4 (relative power ``QUIETEST``) and 0. Leads without signal
    are excluded from the mean; the value is 0 if no lead of the group has a signal. The result does not depend on
    amplitude or circular shifts.
    """
    size = spectrum.abs()
    loudest = size.amax(dim=-1, keepdim=True)
    there = loudest > 0
    relative = size / torch.where(there, loudest, 1)
    near = hats(knots, samples, size.device)  # (K, F)
    near = near / near.sum(dim=1, keepdim=True).clamp_min(QUIETEST)
    power = relative.square() @ near.T  # (B, L, K)
    logarithm = (power / power.amax(dim=-1, keepdim=True).clamp_min(QUIETEST)).clamp_min(QUIETEST).log() / 10
    member = F.one_hot(group, groups).to(logarithm.dtype) * there  # (B, L, G)
    return (member.transpose(1, 2) @ logarithm) / member.sum(dim=1).clamp_min(1)[..., None]
