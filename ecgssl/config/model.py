"""Parameters of sections ``model``, ``fda``, ``stdm`` and ``objective`` (``docs/method.md``)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import NonNegative, Positive, Ratio, Section

MOST_TOKENS = 20_000
"""Largest number of patches of a recording."""
_Width = Annotated[int, Field(ge=1, le=4096)]
_Depth = Annotated[int, Field(ge=1, le=128)]


class DecoderParams(Section):
    """Parameters of the decoder. ``docs/method.md`` compares the options.

    Args:
        width: width of a token.
        depth: number of blocks.
        heads: number of attention heads.
        scope: tokens that a patch attends to: all (``joint``), those of its lead (``leadwise``), or alternately those of
            its lead and those of its time column (``axial``).
        mixing: kernel size, in patches, of a convolution over time before the first block; odd, 1 for none.
        head: output layer: one for all leads (``shared``) or one per lead (``lead``).
        global_representation: give the global representation of the encoder to the decoder.
    """

    width: _Width = 64
    depth: _Depth = 2
    heads: _Depth = 2
    scope: Literal["joint", "leadwise", "axial"] = "axial"
    mixing: Annotated[int, Field(ge=1, le=31)] = 5
    head: Literal["shared", "lead"] = "lead"
    global_representation: bool = True

    @model_validator(mode="after")
    def _mixing_is_odd(self) -> DecoderParams:
        if self.mixing % 2 == 0:
            raise ValueError(f"mixing {self.mixing} must be odd")
        return self


class AutocorrelationParams(Section):
    """Parameters of the autocorrelation of the stem's responses (``ecgssl.model.autocorrelation``).

    The defaults are for 100 Hz. A step is ``model.patch / model.stem.share_offsets`` samples.

    Args:
        filters: number of filters of the stem whose autocorrelation is part of an embedding; 0 for none.
        spacing: distance of the lags at which the autocorrelation is embedded, in samples; a multiple of the step.
        shortest: shortest lag of the shares of lags, in samples; at least one step.
        longest: longest lag, in samples; at least ``spacing``.
        levels: number of levels of the shares of lags.
    """

    filters: Annotated[int, Field(ge=0, le=4096)] = 0
    spacing: Annotated[int, Field(ge=1, le=100_000)] = 8
    shortest: Annotated[int, Field(ge=1, le=100_000)] = 24
    longest: Annotated[int, Field(ge=1, le=100_000)] = 218
    levels: Annotated[int, Field(ge=2, le=1000)] = 8

    def lags(self, step: int) -> list[int]:
        """Return the embedded lags in steps of ``step`` samples."""
        return list(range(self.spacing // step, self.longest // step + 1, self.spacing // step))

    def width(self, step: int) -> int:
        """Return the number of values in an embedding (``Autocorrelation.forward``)."""
        return self.filters * (1 + len(self.lags(step)) + self.levels) if self.filters else 0


class StemParams(Section):
    """Parameters of the stem of the encoder (``ecgssl.model.stem``).

    Args:
        filters: number of filters; 0 for no stem.
        offsets: number of positions per patch at which the filters are applied for the tokens; it divides ``model.patch``.
        share_offsets: number of positions per patch for the shares of an embedding; it divides ``model.patch``.
        shares: number of filters whose shares are part of an embedding; ``null`` for all.
        autocorrelation: the part of an embedding that describes the rhythm.
    """

    filters: Annotated[int, Field(ge=0, le=4096)] = 0
    offsets: Annotated[int, Field(ge=1, le=100)] = 5
    share_offsets: Annotated[int, Field(ge=1, le=100)] = 25
    shares: Annotated[int, Field(ge=1, le=4096)] | None = None
    autocorrelation: AutocorrelationParams = AutocorrelationParams()

    @property
    def shared(self) -> int:
        """Number of filters whose shares are part of an embedding."""
        return self.filters if self.shares is None else self.shares

    @model_validator(mode="after")
    def _enough_filters(self) -> StemParams:
        lags = self.autocorrelation
        for name, count in (("shares", self.shared), ("autocorrelation.filters", lags.filters)):
            if count > self.filters:
                raise ValueError(f"{name} {count} must be at most filters {self.filters}")
        if lags.shortest > lags.longest:
            raise ValueError(
                f"autocorrelation.shortest {lags.shortest} must be at most autocorrelation.longest {lags.longest}"
            )
        return self


Preset = Literal["tiny", "small", "base"]
PRESETS: dict[Preset, tuple[int, int, int]] = {"tiny": (128, 4, 4), "small": (384, 12, 6), "base": (768, 12, 12)}
"""Width, depth and number of heads of each encoder preset; ``small`` and ``base`` have the sizes of ViT-S and ViT-B."""


class ModelParams(Section):
    """Parameters of the encoder and the decoder.

    Args:
        preset: width, depth and heads of the encoder (``PRESETS``).
        width: width of a token; overrides the preset.
        depth: number of blocks; overrides the preset.
        heads: number of attention heads; overrides the preset.
        patch: samples per patch.
        mlp_ratio: hidden width of the MLPs relative to the token width.
        residual: initial scale of the last layers of the encoder's residual branches, relative to Xavier initialisation.
            With small values, reconstruction improves earlier in training (``docs/method.md``).
        pooling: embed means over all leads (``recording``), also those of each lead (``lead``), or of each lead the shares of
            the stem only (``lead_shares``).
        stem: filters at several offsets in front of the blocks.
        decoder: sizes and options of the decoder.
    """

    preset: Preset = "tiny"
    width: _Width | None = None
    depth: _Depth | None = None
    heads: _Depth | None = None
    patch: Annotated[int, Field(ge=1, le=100_000)] = 50
    mlp_ratio: Annotated[float, Field(ge=1, le=8)] = 4.0
    residual: Annotated[float, Field(ge=0, le=1)] = 0.1
    pooling: Literal["recording", "lead", "lead_shares"] = "recording"
    stem: StemParams = StemParams()
    decoder: DecoderParams = DecoderParams()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Width, depth and number of heads of the encoder after applying the overrides."""
        width, depth, heads = PRESETS[self.preset]
        return self.width or width, self.depth or depth, self.heads or heads

    def embed_dim(self, leads: int) -> int:
        """Return the dimension of an embedding of ``leads`` input rows (``Encoder.pool``)."""
        width, stem = self.shape[0], self.stem
        means = {"recording": stem.shared, "lead": leads * (width + stem.shared), "lead_shares": leads * stem.shared}
        return 3 * width + means[self.pooling] + stem.autocorrelation.width(self.patch // stem.share_offsets)

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelParams:
        width, _, heads = self.shape
        if width % heads or (width // heads) % 2:
            raise ValueError(f"width {width} must be an even multiple of heads {heads}")
        if self.decoder.width % self.decoder.heads or self.decoder.width % 2:
            raise ValueError(
                f"decoder width {self.decoder.width} must be even and a multiple of heads {self.decoder.heads}"
            )
        return self

    @model_validator(mode="after")
    def _offsets_divide(self) -> ModelParams:
        stem = self.stem
        if stem.filters and (self.patch % stem.offsets or self.patch % stem.share_offsets):
            raise ValueError(
                f"patch {self.patch} must be a multiple of stem.offsets {stem.offsets} and of stem.share_offsets "
                f"{stem.share_offsets}"
            )
        return self

    @model_validator(mode="after")
    def _lags_are_steps(self) -> ModelParams:
        lags, step = self.stem.autocorrelation, self.patch // self.stem.share_offsets
        if lags.filters and (lags.spacing % step or lags.shortest < step or lags.longest < lags.spacing):
            raise ValueError(
                f"stem.autocorrelation.spacing {lags.spacing} must be a multiple of patch / share_offsets {step} and at "
                f"most longest {lags.longest}, and shortest {lags.shortest} at least {step}"
            )
        return self


class FDAParams(Section):
    """Parameters of Frequency Dynamic Augmentation (``ecgssl.model.fda``).

    Args:
        kind: ``fda``, or ``jitter_scale`` and ``none`` for ablations.
        knots: number of knots of the importance map between 0 Hz and the Nyquist frequency.
        share: leads that share one map and one random draw: all leads, the limb leads, or none.
        dynamic: add a term that depends on the recording's own spectrum.
        temperature: temperature of the binary-concrete gate, (start, end) of an exponential schedule.
        strength: relative amplitude change of a bin with mean unimportance.
        phase: largest phase shift of an unimportant bin in radians; 0 for none.
        budget: loss on the share of the energy that is kept: squared distance from ``keep``, or ``l1``, the share itself.
        keep: target of the kept share of the energy for ``square``.
        perturb_at_least: share of a recording's energy that is perturbed on average, whatever the map is.
        protect_below: frequency in Hz below which bins are never changed.
        views: perturb one view or both.
        learning_rate: learning rate of the map.
    """

    kind: Literal["fda", "jitter_scale", "none"] = "fda"
    knots: Annotated[int, Field(ge=4, le=512)] = 64
    share: Literal["all", "limb", "none"] = "limb"
    dynamic: bool = False
    temperature: tuple[Annotated[float, Field(ge=1e-3)], Annotated[float, Field(ge=1e-3)]] = (1.0, 0.1)
    strength: Annotated[float, Field(ge=0, le=4)] = 1.0
    phase: Annotated[float, Field(ge=0, le=math.pi)] = 0.0
    budget: Literal["square", "l1"] = "square"
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    perturb_at_least: Annotated[float, Field(ge=0, lt=1)] = 0.1
    protect_below: NonNegative = 0.5
    views: Literal["one_sided", "two_sided"] = "one_sided"
    learning_rate: Annotated[float, Field(gt=0)] = 0.05


class STDMParams(Section):
    """Parameters of Spatio-Temporal Dual Masking (``ecgssl.model.stdm``).

    Args:
        kind: ``paper`` drops any leads; ``einthoven`` drops leads so that no dropped limb lead can be computed from visible
            ones; ``random`` hides single patches; ``none`` hides nothing.
        time_ratio: fraction of the time columns that is hidden in all leads.
        lead_ratio: fraction of the leads that is dropped.
    """

    kind: Literal["paper", "einthoven", "random", "none"] = "paper"
    time_ratio: Ratio = 0.5
    lead_ratio: Ratio = 0.2


class ObjectiveParams(Section):
    """Parameters of the pretraining loss: L = L_rec + contrastive_weight * L_con + budget_weight * L_budget.

    Args:
        kind: ``core`` for both terms, or one of the two for ablations.
        contrastive_weight: weight of the contrastive term.
        budget_weight: weight of the FDA budget.
        temperature: temperature of NT-Xent.
        projector: output width of the projector.
        standardise: standardise each coordinate of the projected vectors over the batch before they are compared. Without
            it, the contrastive loss falls very slowly at first (``docs/method.md``).
        target: reconstruct patches standardised one by one (``patch_norm``), or unchanged (``plain``).
        same_patient: treatment of other recordings of the same patient: left out, positives or negatives.
        views: number of views; 1 halves the cost of a step, for ``reconstruction`` only.
        pairs: views with separate shifts and masks, or with one shift and complementary time masks.
        decoded_from: global representation that the decoder receives: that of the same view or of the other view.
    """

    kind: Literal["core", "contrastive", "reconstruction"] = "core"
    contrastive_weight: NonNegative = 0.03
    budget_weight: NonNegative = 1.0
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.2
    projector: Positive = 128
    standardise: bool = True
    target: Literal["patch_norm", "plain"] = "patch_norm"
    same_patient: Literal["ignore", "positive", "negative"] = "ignore"
    views: Literal[1, 2] = 2
    pairs: Literal["independent", "complementary"] = "independent"
    decoded_from: Literal["own", "other"] = "own"

    @model_validator(mode="after")
    def _pairs(self) -> ObjectiveParams:
        if self.views == 1 and self.kind != "reconstruction":
            raise ValueError(f"objective {self.kind!r} compares two views; set objective.views to 2")
        return self
