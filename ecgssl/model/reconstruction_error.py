"""Reconstruction error by type of masking (time masking, lead drop or both) and by limb and chest leads.

A patch of a limb lead that is hidden only by lead drop can often be computed from other limb leads at the same time. With
time masking, all leads are hidden at this time. The errors are therefore reported separately.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor

from ecgssl.model.stdm import Mask
from ecgssl.signal.leads import LIMB_LEADS


def hidden_by(
    mask: Mask, leads: Sequence[str], lead_mask: Tensor | None = None, columns: Tensor | None = None
) -> dict[str, Tensor]:
    """Return boolean masks (B, L N) of the hidden patches that were recorded.

    The keys are types of masking (``time`` only, ``lead`` only, ``time_and_lead``), lead groups (``limb``, ``chest``), and
    lead drop only in one group (``lead_limb``, ``lead_chest``).

    Args:
        mask: mask of a view.
        leads: canonical names of the rows.
        lead_mask: (B, L) bool, or ``None`` if all leads are present.
        columns: (B, N) bool, completely recorded time columns, or ``None`` if all are.
    """
    hidden = mask.hidden
    if lead_mask is not None:
        hidden = hidden & lead_mask[..., None]
    if columns is not None:
        hidden = hidden & columns[:, None]
    time = repeat(mask.hidden_time, "b n -> b l n", l=len(leads))
    lead = repeat(mask.hidden_lead, "b l -> b l n", n=time.shape[-1])
    limb = torch.tensor([name in LIMB_LEADS for name in leads], device=hidden.device)[None, :, None]
    causes = {
        "time": time & ~lead,
        "lead": lead & ~time,
        "time_and_lead": time & lead,
        "limb": limb,
        "chest": ~limb,
        "lead_limb": lead & ~time & limb,
        "lead_chest": lead & ~time & ~limb,
    }
    return {name: rearrange(hidden & where, "b l n -> b (l n)") for name, where in causes.items()}


class ErrorByCause:
    """Accumulator of reconstruction errors over batches. ``figures`` returns the mean errors."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, predicted: Tensor, target: Tensor, causes: dict[str, Tensor], millivolts: Tensor) -> None:
        """Add the errors of the hidden patches of a view.

        Args:
            predicted, target: (B, L N, P) patches in units of the target.
            causes: result of ``hidden_by``.
            millivolts: (B, L N) scale of each patch in mV per unit of the target.
        """
        predicted, target = predicted.double(), target.double()
        error = (predicted - target).square().mean(-1)
        a, b = (v - v.mean(-1, keepdim=True) for v in (predicted, target))
        r = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-12)
        columns = torch.stack(
            [error, target.square().mean(-1), r, error * millivolts.double().square(), torch.ones_like(error)], dim=-1
        )
        for name, where in causes.items():
            self._sums[name] = self._sums.get(name, 0) + columns[where].sum(dim=0)

    def figures(self) -> dict[str, float]:
        """Return the mean errors for every key of ``hidden_by`` (CAUSE) with at least one hidden patch.

        Returns:
            ``reconstruction_CAUSE``: mean squared error in units of the target. ``relative_CAUSE``: mean squared error
            divided by the mean square of the target (1 for a prediction of 0); omitted if this is 0.
            ``correlation_CAUSE``: mean Pearson r within a patch. ``millivolts_CAUSE``: root mean squared error in mV.
        """
        out: dict[str, float] = {}
        for name, sums in self._sums.items():
            error, power, r, volts, count = sums.tolist()
            if not count:
                continue
            out[f"reconstruction_{name}"] = error / count
            if power:
                out[f"relative_{name}"] = error / power
            out[f"correlation_{name}"] = r / count
            out[f"millivolts_{name}"] = (volts / count) ** 0.5
        return out
