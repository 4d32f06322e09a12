"""What a pretraining run remembers of itself: figures by step and by epoch, and what went wrong."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

WINDOW, LEAST = 64, 16
"""Losses that a new one is compared with, and how many there must be."""


@dataclass
class TrainingHistory:
    """The part of a run's state that is neither weights nor optimiser.

    Args:
        step: steps done.
        bad: non-finite steps in a row.
        skipped: non-finite steps in all; they change nothing.
        history: a row per ``log_every`` steps.
        epochs: a row per epoch that was looked at.
        spikes: step, loss and the limit it went beyond.
        losses: the newest finite ones.
        sums: of the terms since the last row.
        summed: steps in ``sums``.
        best: highest AUROC of the online probe and its step.
        collapse: how the representation has collapsed, in words, at the last look.
    """

    step: int = 0
    bad: int = 0
    skipped: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    spikes: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    summed: int = 0
    best: dict[str, float] | None = None
    collapse: str | None = None

    def state(self) -> dict[str, Any]:
        """All of it, in types that are read back without unpickling."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def add(self, terms: dict[str, Tensor], deviations: float) -> None:
        """Take in a finite step.

        Args:
            terms: scalars, among them ``loss``.
            deviations: robust standard deviations (1.4826 times the median distance from the median) above the median of
                the newest losses beyond which a loss is a spike. A spread under 1 % of the median counts as 1 %.
        """
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value.detach() if name in self.sums else value.detach().clone()
        self.summed += 1
        loss = float(terms["loss"].detach())
        if len(self.losses) >= LEAST:
            middle = statistics.median(self.losses)
            spread = 1.4826 * statistics.median(abs(value - middle) for value in self.losses)
            limit = middle + deviations * max(spread, 0.01 * abs(middle))
            if loss > limit:
                self.spikes.append({"step": self.step, "loss": loss, "limit": limit})
        self.losses = [*self.losses[1 - WINDOW :], loss]

    def row(self, **figures: float) -> dict[str, float] | None:
        """Close a row of the history: means of the terms since the last one, and ``figures``; ``None`` without any step."""
        if not self.summed:
            return None
        row = {name: float(value) / self.summed for name, value in self.sums.items()}
        row |= {**figures, "loss_spikes": len(self.spikes), "skipped_steps": self.skipped}
        self.history.append(row)
        self.sums, self.summed = {}, 0
        return row
