"""Tiny models with random weights and signals with beats, for tests of export, scoring and serving."""

from __future__ import annotations

import numpy as np
import torch

from ecgssl.config import AutocorrelationParams, ExportParams, ModelParams, StemParams
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import Decision, LabelDecision
from ecgssl.evaluation.calibration.thresholds import Threshold
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LIMB_MATRIX
from ecgssl.signal.spec import SignalSpec

STEM = StemParams(filters=7, share_offsets=5, shares=6, autocorrelation=AutocorrelationParams(filters=3, spacing=10))
TINY = ModelParams(width=32, depth=2, heads=2, patch=50, pooling="lead", stem=STEM)
SPEC = SignalSpec()
LEAN = ExportParams(raw_rates=[], pt2=False)
"""Return export parameters for the one graph that every bundle has."""


def beats(seed: int, rate: int = 250, seconds: float = 10.0) -> np.ndarray:
    """Return (12, samples) int16 in uV: Gaussian beats about once a second, limb leads from I and II."""
    generator = np.random.default_rng(seed)
    period = generator.uniform(0.7, 1.1)
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(
        np.exp(-0.5 * ((((time - shift) / period + 0.5) % 1 - 0.5) * period / width) ** 2) * size
        for shift, width, size in ((0.3, 0.015, 1.0), (0.55, 0.06, 0.3), (0.12, 0.03, 0.1))
    )
    sources = wave * generator.uniform(0.6, 1.2, (8, 1)) + generator.normal(0, 0.01, (8, time.size))
    return np.rint(1000 * np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]])).astype(np.int16)


def classifier(spec: SignalSpec = SPEC) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(Encoder(TINY, spec.leads, spec.samples), ("MI", "NORM"))
    # large weights, as after training, and a head that transforms its input
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.head.mean += 0.1 * torch.randn_like(model.head.mean)
    model.head.scale *= 0.5
    return model.eval()


def decision() -> Decision:
    """Return the decision of ``classifier``: a Platt calibrator with threshold and an isotonic calibrator without."""
    cut = Threshold(0.4, 0.9, 0.7)
    straight = LabelDecision("MI", Calibrator("platt", 0.8, -0.3), {"youden": cut}, 30, 70)
    curve = Calibrator("isotonic", knots=(-1.0, 0.0, 0.5, 2.0), levels=(0.1, 0.2, 0.7, 0.95))
    curved = LabelDecision("NORM", curve, {"youden": Threshold(None, reason="too few")}, 50, 50)
    return Decision("multilabel", (straight, curved), {"split": "val"})
