"""CoRe-ECG: contrastive and reconstructive pretraining together (arXiv 2604.11359).

What the paper fixes and what we assume is listed in ``docs/method.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import repeat
from torch import Tensor, nn

from ecgssl.config import FDAParams, ModelParams, ObjectiveParams, STDMParams
from ecgssl.model.blocks import init_weights
from ecgssl.model.decoder import Decoder
from ecgssl.model.draws import integers
from ecgssl.model.encoder import Encoder, EncoderOutput
from ecgssl.model.fda import FDA
from ecgssl.model.losses import nt_xent, patch_target, reconstruction_loss, standardised
from ecgssl.model.stdm import Mask, draw_mask

Share = Callable[[Tensor], Tensor]
"""From what this part of a batch has, (B, ...), to what all of its parts have; every part calls it equally often."""


def alone(value: Tensor) -> Tensor:
    """The ``Share`` of a batch that is all here."""
    return value


@dataclass(frozen=True)
class View:
    """One view of a batch: input (B, L, T), target recording (B, L, T), its mask, encoding and predicted patches."""

    x: Tensor
    original: Tensor
    mask: Mask
    encoded: EncoderOutput
    predicted: Tensor | None


class CoReECG(nn.Module):
    """Encoder, decoder, projector and FDA with the joint objective.

    Args:
        model, fda, stdm, objective: see ``ecgssl.config``.
        leads: canonical names of the rows.
        samples: T.
        sampling_rate: Hz.
        band: Hz in which the cleaned signal lives.
        shift: give every view its own circular shift in time.
    """

    def __init__(
        self,
        model: ModelParams,
        fda: FDAParams,
        stdm: STDMParams,
        objective: ObjectiveParams,
        leads: Sequence[str],
        samples: int,
        sampling_rate: float,
        band: tuple[float, float],
        shift: bool = True,
    ) -> None:
        super().__init__()
        self.stdm, self.objective, self.shift = stdm, objective, shift
        self.encoder = Encoder(model, leads, samples)
        self.decoder = Decoder(model, leads, self.encoder.columns)
        self.fda = FDA(fda, leads, sampling_rate, band)
        width = model.shape[0]
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, objective.projector))
        self.projector.apply(init_weights)

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None,
        patients: Tensor | None,
        step: int,
        gate_temperature: float,
        generator: torch.Generator,
        share: Share = alone,
    ) -> dict[str, Tensor]:
        """All terms of the loss for a batch.

        Args:
            x: (B, L, T) clean, normalised recordings; absent leads 0.
            lead_mask: (B, L) bool, or ``None`` where all leads are there.
            patients: (B,) integer codes, or ``None``.
            step: of the run (mask counts alternate with it).
            gate_temperature: of FDA.
            generator: all randomness of this step, on the device of ``x``.
            share: what the other parts of the batch have, where this is one of several.

        Returns:
            ``loss`` and its terms ``reconstruction``, ``contrastive``, ``budget``, and ``kept_fraction``; scalars.
        """
        both = self.fda.params.views == "two_sided"
        augmented = (True, both)[: self.objective.views]
        views = [self.view(x, lead_mask, step, gate_temperature, generator, augment) for augment in augmented]
        return self.terms(views, lead_mask, patients, share)

    def view(
        self,
        x: Tensor,
        lead_mask: Tensor | None,
        step: int,
        gate_temperature: float,
        generator: torch.Generator,
        augment: bool,
        decode: bool = True,
    ) -> View:
        """Shift, augment, mask, encode and, where asked for and not purely contrastive, decode one view."""
        if self.shift:
            x = circular_shift(x, generator)
        original = x
        if augment:
            x = self.fda(x, gate_temperature, generator)
        mask = draw_mask(self.stdm, x.shape[0], self.encoder.leads, self.encoder.columns, step, generator)
        encoded = self.encoder(x, lead_mask, mask.keep)
        # also where a low ratio hides nothing in this step: the loss is then 0, but still has a gradient
        decode = decode and self.objective.kind != "contrastive"
        return View(x, original, mask, encoded, self.decoder(encoded, mask.keep) if decode else None)

    def terms(
        self, views: Sequence[View], lead_mask: Tensor | None, patients: Tensor | None, share: Share = alone
    ) -> dict[str, Tensor]:
        """The objective over the views of one batch; the mean over its equal parts, where it has some, is that of the whole."""
        o = self.objective
        zero = views[0].x.new_zeros(())
        scored = [self.reconstruction(v, lead_mask, share) for v in views if v.predicted is not None]
        reconstruction = torch.stack(scored).mean() if scored else zero
        contrastive = zero
        if o.kind != "reconstruction":
            first, second = (share(self.projected(v.encoded.global_)) for v in views)
            everyone = None if patients is None else share(patients)
            contrastive = nt_xent(*self.compared(first, second), o.temperature, everyone, o.same_patient)
        kept = budget = zero
        if self.fda.params.kind == "fda":
            kept = share(self.fda.kept_fraction(views[0].original)).mean()
            budget = self.fda.budget(kept)
        loss = reconstruction + o.contrastive_weight * contrastive + o.budget_weight * budget
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "contrastive": contrastive,
            "budget": budget,
            "kept_fraction": kept.detach(),
        }

    def projected(self, global_: Tensor) -> Tensor:
        """(B, E) of global representations (B, D), in float32: bfloat16 would round away what tells recordings apart, which
        is little at first beside what they have in common."""
        with torch.autocast(global_.device.type, enabled=False):
            return self.projector(global_.float())

    def compared(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Projected global vectors (B, E) of both views of a whole batch, as the contrastive term compares them."""
        return standardised(first, second) if self.objective.standardise else (first, second)

    def reconstruction(self, view: View, lead_mask: Tensor | None, share: Share = alone) -> Tensor:
        """Mean squared error over the hidden patches of recorded leads of one view."""
        assert view.predicted is not None
        target = patch_target(self.encoder.patches(view.original), self.objective.target)
        scored = view.mask.hidden.flatten(1)
        if lead_mask is not None:
            scored = scored & repeat(lead_mask, "b l -> b (l n)", n=self.encoder.columns)
        # absent leads make the parts of a batch unequal: each divides by what they have on average
        counts = share(scored.sum(dim=1))
        return reconstruction_loss(view.predicted, target, scored, counts.sum() * (len(scored) / len(counts)))


def circular_shift(x: Tensor, generator: torch.Generator) -> Tensor:
    """Roll every recording (B, L, T) by its own random number of samples, all leads together."""
    batch, leads, samples = x.shape
    offset = integers(samples, batch, 1, generator=generator)
    index = (torch.arange(samples, device=x.device)[None] + offset) % samples
    return x.gather(2, index[:, None].expand(-1, leads, -1))
