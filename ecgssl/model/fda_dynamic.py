"""What FDA's map learns from a recording's own spectrum: the dynamic term."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUIETEST = 1e-6
"""Share of a lead's loudest band under which a band counts as silent: 120 dB below it in power."""


def hats(knots: int, samples: int, device: torch.device) -> Tensor:
    """(K, F): how much of each knot is in each rFFT bin of a signal of that length, by linear interpolation.

    Knots are equally spaced from 0 Hz to Nyquist, so the sampling rate does not come in.
    """
    position = torch.arange(samples // 2 + 1, device=device) * (2 / samples * (knots - 1))
    return (1 - (position[None] - torch.arange(knots, device=device)[:, None]).abs()).clamp_min(0)


class SpectrumTerm(nn.Module):
    """Logits added to the map for one recording: two linear layers on its log-spectrum at the knots.

    The last layer starts at zero, so the map starts as the static one. A tanh bounds what one recording can do to its map.

    Args:
        knots: K.
        hidden: width between the layers.
        limit: largest change of a logit.
    """

    def __init__(self, knots: int, hidden: int = 32, limit: float = 4.0) -> None:
        super().__init__()
        self.limit = limit
        self.inner = nn.Linear(knots, hidden)
        self.outer = nn.Linear(hidden, knots)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, spectrum: Tensor, samples: int, group: Tensor, groups: int) -> Tensor:
        """(B, G, K) logits.

        Args:
            spectrum: (B, L, F) rFFT of T samples.
            samples: T.
            group: (L,) index of the group of every lead.
            groups: G.
        """
        seen = log_spectrum(spectrum, samples, group, groups, self.inner.in_features)
        return self.limit * torch.tanh(self.outer(F.gelu(self.inner(seen))))


def log_spectrum(spectrum: Tensor, samples: int, group: Tensor, groups: int, knots: int) -> Tensor:
    """Logarithm of the power around every knot, relative to the lead's loudest, over the leads of a group: (B, G, K).

    Divided by ten, so about -1 to 0. Silent leads (absent ones are 0) have no part in the mean, and a group of them is 0.
    The size of the signal drops out, and so does a circular shift.
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
