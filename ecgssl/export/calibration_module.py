"""Calibration of a classifier as tensor operations, for exported graphs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ecgssl.evaluation.calibration.decision import Decision


class CalibrationModule(nn.Module):
    """Module that maps (B, K) logits to (B, K) calibrated probabilities, or to calibrated values of a regression.

    It computes the same function as ``Decision.probabilities``, in float32. An isotonic curve is implemented as a sum
    of ramp functions. Rounding errors of a logit have the largest effect where this curve is steep.

    Args:
        decision: calibrators of the classifier.
    """

    slope: Tensor
    intercept: Tensor
    isotonic: Tensor
    floor: Tensor
    knot: Tensor
    width: Tensor
    rise: Tensor

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.kind = decision.kind
        calibrators = [label.calibrator for label in decision.labels]
        segments = max(max(len(c.knots) - 1, 0) for c in calibrators)
        self.curved = segments > 0
        knot, rise = np.zeros((len(calibrators), segments)), np.zeros((len(calibrators), segments))
        width = np.ones_like(knot)
        for row, c in enumerate(calibrators):
            used = slice(0, max(len(c.knots) - 1, 0))
            knot[row, used], width[row, used] = c.knots[:-1], np.diff(c.knots)
            rise[row, used] = np.diff(c.levels)
        buffers = {
            "slope": [c.slope for c in calibrators],
            "intercept": [c.intercept for c in calibrators],
            "floor": [c.levels[0] if c.levels else 0.0 for c in calibrators],
            "knot": knot,
            "width": width,
            "rise": rise,
        }
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(np.asarray(value, dtype=np.float32)), persistent=False)
        curved = torch.tensor([c.method == "isotonic" for c in calibrators])
        self.register_buffer("isotonic", curved, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        line = logits * self.slope + self.intercept
        if self.kind == "regression":
            return line
        if self.kind == "multiclass":
            return torch.softmax(line, dim=-1)
        probability = torch.sigmoid(line)
        if not self.curved:
            return probability
        # (B, K, segments): position of the logit in each segment of the curve, from 0 (start) to 1 (end)
        along = ((logits[..., None] - self.knot) / self.width).clamp(0.0, 1.0)
        return torch.where(self.isotonic, self.floor + (along * self.rise).sum(dim=-1), probability)
