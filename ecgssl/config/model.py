"""Sections ``model``, ``fda``, ``stdm`` and ``objective``: the method (docs/method.md)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import NonNegative, Positive, Ratio, Section


class DecoderParams(Section):
    """The decoder; see docs/method.md for what each of these is worth.

    Args:
        scope: what a patch attends to: everything, its lead, or its lead and its time column in turn.
        mixing: patches that a convolution over time reaches over before the first block; 1 for none.
        head: the last layer is one for all leads, or one for each.
        global_representation: give the decoder the encoder's global representation, or leave it to the tokens.
    """

    width: Positive = 128
    depth: Positive = 2
    heads: Positive = 4
    scope: Literal["joint", "leadwise", "axial"] = "axial"
    mixing: Annotated[int, Field(ge=1, le=31)] = 5
    head: Literal["shared", "lead"] = "lead"
    global_representation: bool = True

    @model_validator(mode="after")
    def _mixing_has_a_middle(self) -> DecoderParams:
        if self.mixing % 2 == 0:
            raise ValueError(f"mixing {self.mixing} must be odd")
        return self


class ModelParams(Section):
    """Encoder and decoder.

    Args:
        preset: sizes of the encoder; explicit width, depth or heads override it.
        patch: samples of one.
        residual: size of the last layers of the encoder's residual branches at the start, relative to the usual one. Small
            ones leave the tokens nearer to the patches: reconstruction then learns sooner (docs/method.md).
    """

    preset: Literal["tiny", "small", "base"] = "tiny"
    width: Positive | None = None
    depth: Positive | None = None
    heads: Positive | None = None
    patch: Positive = 25
    mlp_ratio: Annotated[float, Field(ge=1, le=8)] = 4.0
    residual: Annotated[float, Field(ge=0, le=1)] = 0.1
    decoder: DecoderParams = DecoderParams()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(width, depth, heads) with overrides applied."""
        width, depth, heads = {"tiny": (128, 4, 4), "small": (384, 12, 6), "base": (768, 12, 12)}[self.preset]
        return self.width or width, self.depth or depth, self.heads or heads

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


class FDAParams(Section):
    """Frequency Dynamic Augmentation.

    Args:
        kind: ``fda``, or the ablations ``jitter_scale`` and ``none``.
        knots: of the importance map between 0 Hz and Nyquist.
        share: which leads share one map and one draw.
        dynamic: add a term of the recording's own log-spectrum to the map.
        temperature: of the binary-concrete gate, (start, end) of an exponential schedule.
        strength: relative change of amplitude of a bin of mean unimportance.
        phase: largest turn of an unimportant bin in radians; 0 leaves phases alone.
        budget: hold the kept fraction at ``keep``, or press it down at a constant rate.
        keep: target of the kept fraction in the ``square`` budget.
        protect_below: Hz under which every bin passes (DC and what the band-pass removed).
        views: perturb one view or both.
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
    protect_below: NonNegative = 0.5
    views: Literal["one_sided", "two_sided"] = "one_sided"
    learning_rate: Annotated[float, Field(gt=0)] = 0.05


class STDMParams(Section):
    """Spatio-Temporal Dual Masking: ratios of time columns and of leads that are hidden."""

    kind: Literal["paper", "einthoven", "random", "none"] = "paper"
    time_ratio: Ratio = 0.5
    lead_ratio: Ratio = 0.2


class ObjectiveParams(Section):
    """L = L_rec + contrastive_weight * L_con + budget_weight * L_budget.

    Args:
        standardise: give every coordinate of the projected vectors mean 0 and spread 1 over the batch before they are
            compared. Without it the contrastive term stands still until the encoder by chance tells recordings apart
            (docs/method.md).
        views: 1, for ``reconstruction`` only, halves a step: there is nothing to compare a second view with.
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

    @model_validator(mode="after")
    def _pairs(self) -> ObjectiveParams:
        if self.views == 1 and self.kind != "reconstruction":
            raise ValueError(f"objective {self.kind!r} compares two views")
        return self
