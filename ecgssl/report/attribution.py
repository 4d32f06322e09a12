"""Attribution of a classifier output to leads and samples: integrated gradients and attention rollout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from ecgssl.model.attention_rollout import rollout
from ecgssl.model.classifier import Classifier
from ecgssl.signal.normalise import recorded_samples

Method = Literal["integrated_gradients", "rollout"]

TOLERANCE = 0.01
"""Absolute and relative tolerance of the difference between the sum of the attributions and the change of the output."""

_FIRST, _LAST = 32, 256
_TOGETHER = 16


@dataclass(frozen=True)
class Attribution:
    """Contribution of each sample of a recording to one output of a classifier.

    Args:
        values: (B, L, T) float32. Integrated gradients: signed, in units of the output (logits, or the unit of a regression);
            the sum is ``output - baseline``. Rollout: non-negative, the sum is 1. Absent leads are exactly 0.
        output: (B,) output of the classifier for the recordings.
        baseline: (B,) output of the classifier for the same leads at 0 mV.
        gap: (B,) absolute difference between the sum of ``values`` and ``output - baseline``; NaN for rollout.
        steps: (B,) number of points on the path at which gradients were computed; 0 for rollout.
        method: ``integrated_gradients`` or ``rollout``.
    """

    values: NDArray[np.float32]
    output: NDArray[np.float64]
    baseline: NDArray[np.float64]
    gap: NDArray[np.float64]
    steps: NDArray[np.int64]
    method: Method

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Boolean array (B,): true for recordings with a gap within ``TOLERANCE``; false for rollout."""
        return self.gap <= TOLERANCE * (1 + np.abs(self.output - self.baseline))


def attribute(
    classifier: Classifier,
    x: Tensor,
    lead_mask: Tensor | None,
    target: str | int,
    *,
    method: Method = "integrated_gradients",
    before_pass: Callable[[], None] = lambda: None,
    recorded: Tensor | None = None,
) -> Attribution:
    """Return the attribution of one output of a classifier to the samples of its input.

    Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) integrate the gradient along the straight path from the
    baseline to the recording. In the baseline, all recorded leads are 0 mV. The recording must already be normalised,
    because normalisation would undo the scaling along the path. The integral is computed by Gauss-Legendre quadrature with
    32 points. The number of points is doubled, up to 256, until the sum of the attributions equals the change of the output
    within ``TOLERANCE``. The remaining difference is returned as ``gap``. Recordings are processed one by one, so the result
    does not depend on the batch.

    Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928) shows how much attention each token receives. It does not
    depend on ``target``.

    Args:
        classifier: classifier to explain; it runs in eval mode on its current device.
        x: (B, L, T) cleaned and normalised signal (``ecgssl.signal.normalise.normalise``); rows of absent leads are 0.
        lead_mask: (B, L) bool, recorded leads; ``None`` for all.
        target: name or index of the output: the logit of a label or class, or a regression output.
        method: ``integrated_gradients`` or ``rollout``.
        before_pass: function that is called before each pass of at most 16 points through the model. An exception that it
            raises ends the computation.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded. Later
            samples get 0.

    Raises:
        ValueError: there is no output with the name ``target``, or the shapes do not match.
    """
    k = _number(classifier, target)
    if x.ndim != 3 or (lead_mask is not None and lead_mask.shape != x.shape[:2]):
        raise ValueError(
            f"x has shape {tuple(x.shape)}; x must be (batch, leads, samples) and lead_mask (batch, leads)"
        )
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().float().to(device)
            masks = [None] * len(x) if lead_mask is None else lead_mask.detach().clone().to(device)[:, None]
            lengths = [None] * len(x) if recorded is None else recorded.detach().clone().to(device)[:, None]
            parts = zip(x[:, None], masks, lengths, strict=True)
            found = [_one(classifier, one, mask, length, k, method, before_pass) for one, mask, length in parts]
    finally:
        classifier.train(was_training)
    values = np.stack([one.values for one in found]) if found else np.empty(x.shape, dtype=np.float32)
    output, baseline, gap = (
        np.array([getattr(one, name) for one in found], dtype=np.float64) for name in ("output", "baseline", "gap")
    )
    steps = np.array([one.steps for one in found], dtype=np.int64)
    return Attribution(values, output, baseline, gap, steps, method)


def in_windows(values: NDArray[np.float32], sampling_rate: float, seconds: float = 0.08) -> NDArray[np.float64]:
    """Return the moving average of attributions along the last axis, which smooths sign changes between samples.

    Args:
        values: (..., T) attributions.
        sampling_rate: sampling rate in Hz.
        seconds: length of the averaging window in s; the default is about the length of a QRS complex.
    """
    window = max(1, round(seconds * sampling_rate))
    return uniform_filter1d(values.astype(np.float64), window, axis=-1, mode="constant")


def share_by_lead(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the share (..., L) of each lead in the sum of absolute attributions (..., L, T). It is 0 if all of them are 0."""
    size = np.abs(values.astype(np.float64)).sum(axis=-1)
    total = size.sum(axis=-1, keepdims=True)
    return np.divide(size, total, out=np.zeros_like(size), where=total > 0)


def _number(classifier: nn.Module, target: str | int) -> int:
    targets = list(classifier.targets)  # type: ignore[arg-type]
    if isinstance(target, str):
        if target not in targets:
            raise ValueError(f"no output {target!r}; use one of {', '.join(targets)}")
        return targets.index(target)
    return target


@dataclass(frozen=True)
class _One:
    """Attribution of one recording; ``values`` is (L, T)."""

    values: NDArray[np.float32]
    output: float
    baseline: float
    gap: float
    steps: int


def _one(
    classifier: Classifier,
    x: Tensor,
    mask: Tensor | None,
    length: Tensor | None,
    k: int,
    method: Method,
    before_pass: Callable[[], None],
) -> _One:
    """Return the attribution of one recording: x (1, L, T), mask (1, L) or ``None``, recorded samples (1,) or ``None``."""
    recorded = torch.ones_like(x) if mask is None else mask[..., None].expand_as(x).float()
    if length is not None:
        recorded = recorded * recorded_samples(length, x.shape[-1])[:, None]
    x = torch.where(recorded > 0, x, 0)

    def output_of(batch: Tensor) -> Tensor:
        before_pass()
        given = [None if mask is None else mask.expand(len(batch), -1)]
        given += [] if length is None else [length.expand(len(batch))]
        return classifier(batch, *given)[:, k]

    with torch.no_grad():
        output, baseline = float(output_of(x)[0]), float(output_of(torch.zeros_like(x))[0])
    if method == "rollout":
        before_pass()
        return _One(rollout(classifier.encoder, x, mask, length)[0].cpu().numpy(), output, baseline, float("nan"), 0)
    steps = _FIRST
    while True:
        values = (x[0].double() * _mean_gradient(output_of, x, steps) * recorded[0]).float()
        gap = abs(float(values.double().sum()) - (output - baseline))
        if gap <= TOLERANCE * (1 + abs(output - baseline)) or steps >= _LAST:
            return _One(values.cpu().numpy(), output, baseline, gap, steps)
        steps *= 2


def _mean_gradient(output_of: Callable[[Tensor], Tensor], x: Tensor, steps: int) -> Tensor:
    """Return the gradient of the output averaged over the path from 0 to x (1, L, T), as a float64 tensor (L, T)."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros(x.shape[1:], dtype=torch.float64, device=x.device)
    for start in range(0, steps, _TOGETHER):
        # map the nodes from [-1, 1] to [0, 1]
        place = torch.tensor((nodes[start : start + _TOGETHER] + 1) / 2, dtype=x.dtype, device=x.device)
        weight = torch.tensor(weights[start : start + _TOGETHER] / 2, device=x.device)
        points = (place[:, None, None] * x).requires_grad_(True)  # (S, L, T)
        (gradient,) = torch.autograd.grad(output_of(points).sum(), points)
        total += (gradient.double() * weight[:, None, None]).sum(dim=0)
    return total
