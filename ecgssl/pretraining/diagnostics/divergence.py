"""Detection of diverged pretraining runs: skipped steps, non-finite metrics, or losses worse than without training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ecgssl.config import DivergenceParams


def detect_divergence(
    steps: int,
    skipped: int,
    history: Sequence[Mapping[str, float]],
    figures: Mapping[str, float],
    batch_size: int,
    limits: DivergenceParams,
) -> str | None:
    """Return a description of the divergence of a run, or ``None`` if it has not diverged.

    Args:
        steps: number of steps.
        skipped: number of steps that were skipped because their gradient was not finite.
        history: rows of the training history. The contrastive loss of the last row is compared with the larger of two values:
            the loss of equal vectors, and the loss of the first row.
        figures: metrics on the validation split. ``relative_limb`` and ``relative_chest`` are reconstruction errors relative to
            predicting the mean of every hidden patch. Missing metrics are not checked.
        batch_size: recordings per training step. Equal vectors give NT-Xent the value log(2 batch_size - 1).
        limits: limits of the run.
    """
    found = []
    if skipped > limits.max_skipped_fraction * steps:
        found.append(f"{skipped} of {steps} steps were skipped because the gradient was not finite")
    last = history[-1] if history else {}
    broken = sorted(name for name, value in {**last, **figures}.items() if not math.isfinite(value))
    if broken:
        found.append(f"not finite: {', '.join(broken)}")
    for leads in ("limb", "chest"):
        error = figures.get(f"relative_{leads}", 0.0)
        if math.isfinite(error) and error > limits.max_relative_loss:
            found.append(f"the reconstruction error of {leads} leads is {error:.3g} times that of predicting the mean")
    contrastive = last.get("contrastive", 0.0)
    start = max(math.log(2 * batch_size - 1), history[0].get("contrastive", 0.0)) if history else math.inf
    if math.isfinite(contrastive) and contrastive > limits.max_relative_loss * start:
        found.append(f"the contrastive loss is {contrastive:.3g}, but {start:.3g} without training")
    return "; ".join(found) or None
