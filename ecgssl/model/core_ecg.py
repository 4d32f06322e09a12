"""CoRe-ECG: joint contrastive and reconstructive pretraining (arXiv 2604.11359).

``CoReECG.forward`` computes the loss of one batch:

1. Every view of a recording is shifted in time (``circular_shift``). One or both views are augmented in frequency
   (``fda.py``, ``fda_dynamic.py``). Shift and augmentation can be disabled.
2. Spatio-Temporal Dual Masking hides time columns and leads (``stdm.py``). Complementary views have one shift and no visible
   patch in common.
3. The encoder processes the visible patches (``encoder.py``, ``stem.py``, ``blocks.py``). The decoder predicts the hidden
   patches (``decoder.py``) from the visible ones and the global representation of the same view or of the other view.
4. The loss is the weighted sum of ``LOSS_TERMS``. They are computed by functions in ``losses.py`` and by ``FDA.budget``.

``docs/method.md`` lists what the paper specifies and what is assumed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ecgssl.config import FDAParams, ModelParams, ObjectiveParams, STDMParams
from ecgssl.model.blocks import init_weights
from ecgssl.model.decoder import Decoder
from ecgssl.model.draws import integers
from ecgssl.model.encoder import Encoder, EncoderOutput
from ecgssl.model.fda import FDA
from ecgssl.model.losses import nt_xent, patch_target, reconstruction_loss, standardised
from ecgssl.model.recorded import present_patches, rotate
from ecgssl.model.stdm import Mask, complement, draw_mask
from ecgssl.signal.normalise import recorded_samples

Gather = Callable[[Tensor], Tensor]
"""Function that returns the values of all parts of a batch, given the values (B, ...) of one part.

Parts are processes and accumulated pieces (``ecgssl.training.batch_parts``). All must call it the same number of times.
"""


def local(value: Tensor) -> Tensor:
    """Return ``value`` unchanged: the ``Gather`` of a batch with a single part."""
    return value


@dataclass(frozen=True)
class View:
    """One view of a batch.

    Args:
        x: (B, L, T) shifted and augmented recordings, the input of the encoder.
        original: (B, L, T) shifted recordings without augmentation, from which the reconstruction target is computed.
        mask: mask of the view.
        encoded: output of the encoder.
        predicted: (B, L N, P) patches predicted by the decoder; ``None`` if the view was not decoded.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.
    """

    x: Tensor
    original: Tensor
    mask: Mask
    encoded: EncoderOutput
    predicted: Tensor | None
    recorded: Tensor | None = None


@dataclass(frozen=True)
class ViewBatch:
    """Input of every loss term.

    Args:
        model: model that computed the views.
        views: one or two views.
        lead_mask: (B, L) bool, or ``None`` if all leads are present.
        patients: (B,) integer patient codes, or ``None`` if all recordings count as different patients.
        gather: function that returns values of all parts of the batch.
    """

    model: CoReECG
    views: Sequence[View]
    lead_mask: Tensor | None
    patients: Tensor | None
    gather: Gather

    @property
    def zero(self) -> Tensor:
        """Scalar 0 without gradient, used as the value of terms that the objective does not include."""
        return self.views[0].x.new_zeros(())

    @cached_property
    def kept_fraction(self) -> Tensor:
        """Mean of ``FDA.kept_fraction`` over the whole batch; 0 if the augmentation is not of kind ``fda``."""
        fda = self.model.fda
        if fda.params.kind != "fda":
            return self.zero
        view = self.views[0]
        return self.gather(fda.kept_fraction(view.original, view.recorded)).mean()


class CoReECG(nn.Module):
    """Encoder, decoder, projector and FDA with the joint objective.

    Args:
        model, fda, stdm, objective: parameters, see ``ecgssl.config``.
        leads: canonical names of the rows.
        samples: number T of samples per lead.
        sampling_rate: sampling rate in Hz.
        band: passband of the cleaned signal in Hz.
        shift: apply a separate circular time shift to every view.

    Attributes:
        loss_terms: terms of the loss in the order of their summation.
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
        self.loss_terms = LOSS_TERMS
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
        gather: Gather = local,
        recorded: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss and its terms for a batch.

        Args:
            x: (B, L, T) clean, normalised recordings; absent leads are 0.
            lead_mask: (B, L) bool, or ``None`` if all leads are present.
            patients: (B,) integer patient codes, or ``None`` if all recordings count as different patients.
            step: training step; it determines whether the number of masked patches is rounded up or down.
            gate_temperature: temperature of the FDA gate.
            generator: source of all random numbers of this step, on the device of ``x``.
            gather: function that returns values of all parts of the batch.
            recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded. Later
                samples have no influence and no gradient.

        Returns:
            Scalars: ``loss``, each of ``loss_terms`` by name, and ``kept_fraction``.
        """
        both = self.fda.params.views == "two_sided"
        augmented = (True, both)[: self.objective.views]
        views = self.views(x, lead_mask, step, gate_temperature, generator, augmented, recorded=recorded)
        return self.terms(views, lead_mask, patients, gather)

    def views(
        self,
        x: Tensor,
        lead_mask: Tensor | None,
        step: int,
        gate_temperature: float,
        generator: torch.Generator,
        augmented: Sequence[bool],
        decode: bool = True,
        recorded: Tensor | None = None,
    ) -> list[View]:
        """Return one or two views of a batch, related as ``objective.pairs`` and ``objective.decoded_from`` state.

        Args:
            x, lead_mask, step, gate_temperature, generator, recorded: as in ``forward``.
            augmented: for each view, whether it is augmented.
            decode: decode the views, unless the objective is ``contrastive``.
        """
        if recorded is not None:
            x = torch.where(recorded_samples(recorded, x.shape[-1])[:, None], x, 0)
        views: list[View] = []
        for augment in augmented:
            paired = bool(views) and self.objective.pairs == "complementary"
            if paired:
                original = views[0].original
            else:
                original = circular_shift(x, generator, recorded) if self.shift else x
            seen = self.fda(original, gate_temperature, generator, recorded) if augment else original
            mask = (
                complement(views[0].mask)
                if paired
                else draw_mask(self.stdm, len(x), self.encoder.leads, self.encoder.columns, step, generator)
            )
            views.append(View(seen, original, mask, self.encoder(seen, lead_mask, mask.keep, recorded), None, recorded))
        if not decode or self.objective.kind == "contrastive":
            return views
        other = self.objective.decoded_from == "other"
        return [self.decoded(view, views[-1 - i] if other else view) for i, view in enumerate(views)]

    def plain_view(
        self,
        x: Tensor,
        lead_mask: Tensor | None,
        step: int,
        gate_temperature: float,
        generator: torch.Generator,
        recorded: Tensor | None = None,
    ) -> View:
        """Return one view without augmentation, decoded as in training. Arguments as in ``forward``."""
        # a second view is needed only if the first is decoded from it
        count = 2 if self.objective.decoded_from == "other" and self.objective.views == 2 else 1
        return self.views(x, lead_mask, step, gate_temperature, generator, (False,) * count, recorded=recorded)[0]

    def decoded(self, view: View, guide: View) -> View:
        """Return a view with predicted patches. The decoder gets the global representation of the view ``guide``."""
        # decode even if a step hides no patches, because the loss (then 0) still needs a gradient
        encoded = replace(view.encoded, global_=guide.encoded.global_)
        return replace(view, predicted=self.decoder(encoded, view.mask.keep))

    def terms(
        self, views: Sequence[View], lead_mask: Tensor | None, patients: Tensor | None, gather: Gather = local
    ) -> dict[str, Tensor]:
        """Return the loss and its terms for the views of a batch, or of one of its parts.

        If a batch is divided into equal parts, the mean of their losses is the loss of the whole batch.
        """
        batch = ViewBatch(self, views, lead_mask, patients, gather)
        values = {term.name: term.value(batch) for term in self.loss_terms}
        first, *others = (term.weight(self.objective) * values[term.name] for term in self.loss_terms)
        loss = first
        for weighted in others:
            loss = loss + weighted
        return {"loss": loss, **values, "kept_fraction": batch.kept_fraction.detach()}

    def projected(self, global_: Tensor) -> Tensor:
        """Return global representations (B, D) projected to (B, E) in float32.

        In bfloat16, rounding would remove the small differences between recordings at the start of training.
        """
        with torch.autocast(global_.device.type, enabled=False):
            return self.projector(global_.float())

    def compared(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors that the contrastive term compares, given the projected vectors (B, E) of both views.

        They are standardised over the batch if ``objective.standardise`` is true, and otherwise unchanged.
        """
        return standardised(first, second) if self.objective.standardise else (first, second)

    def reconstruction(self, view: View, lead_mask: Tensor | None, gather: Gather = local) -> Tensor:
        """Return the mean squared error over the hidden patches of one view that were recorded."""
        assert view.predicted is not None
        target = patch_target(self.encoder.patches(view.original), self.objective.target)
        scored = view.mask.hidden.flatten(1)
        encoder = self.encoder
        present = present_patches(lead_mask, view.recorded, len(encoder.leads), encoder.columns, encoder.patch)
        if present is not None:
            scored = scored & present
        # parts have different numbers of scored patches if patches are absent, so divide by the mean number over parts
        counts = gather(scored.sum(dim=1))
        return reconstruction_loss(view.predicted, target, scored, counts.sum() * (len(scored) / len(counts)))


@dataclass(frozen=True)
class LossTerm:
    """Definition of one term of the loss. History columns, gradient norms and log entries are derived from it.

    Args:
        name: key in ``CoReECG.terms`` and column of ``losses.csv``. ``gradient_NAME`` is its gradient norm.
        value: function that returns the scalar value for a batch, or ``ViewBatch.zero`` if the objective has no such term.
        weight: function that returns the weight of the term in the loss, given the parameters of the objective.
        measured_in: function that returns the model parameters for which the gradient norm is computed.
    """

    name: str
    value: Callable[[ViewBatch], Tensor]
    weight: Callable[[ObjectiveParams], float]
    measured_in: Callable[[CoReECG], list[nn.Parameter]]


def _reconstruction(batch: ViewBatch) -> Tensor:
    decoded = [view for view in batch.views if view.predicted is not None]
    losses = [batch.model.reconstruction(view, batch.lead_mask, batch.gather) for view in decoded]
    return torch.stack(losses).mean() if losses else batch.zero


def _contrastive(batch: ViewBatch) -> Tensor:
    model, o = batch.model, batch.model.objective
    if o.kind == "reconstruction":
        return batch.zero
    first, second = (batch.gather(model.projected(view.encoded.global_)) for view in batch.views)
    patients = None if batch.patients is None else batch.gather(batch.patients)
    return nt_xent(*model.compared(first, second), o.temperature, patients, o.same_patient)


def _budget(batch: ViewBatch) -> Tensor:
    fda = batch.model.fda
    return fda.budget(batch.kept_fraction) if fda.params.kind == "fda" else batch.zero


def _last_encoder_block(model: CoReECG) -> list[nn.Parameter]:
    return list(model.encoder.blocks[-1].parameters())


def _fda_map(model: CoReECG) -> list[nn.Parameter]:
    return list(model.fda.parameters())


LOSS_TERMS = (
    LossTerm("reconstruction", _reconstruction, lambda o: 1.0, _last_encoder_block),
    LossTerm("contrastive", _contrastive, lambda o: o.contrastive_weight, _last_encoder_block),
    LossTerm("budget", _budget, lambda o: o.budget_weight, _fda_map),
)
"""Terms of the loss in the order of their summation. Add a plot to ``dvc.yaml`` for each new term (a test checks this)."""


def circular_shift(x: Tensor, generator: torch.Generator, recorded: Tensor | None = None) -> Tensor:
    """Return the recordings (B, L, T), each shifted circularly by a random number of samples (equal for all its leads).

    Only the first ``recorded`` (B,) samples of a recording are shifted; ``None`` for all.
    """
    offset = integers(x.shape[-1], x.shape[0], 1, generator=generator)[:, 0]
    if recorded is not None:
        # an offset of a complete recording stays the same number
        offset = offset * recorded // x.shape[-1]
    return rotate(x, offset, recorded)
