"""Training history of a pretraining run: losses per logging step, metrics per epoch, and loss spikes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

WINDOW, LEAST = 64, 16
"""Largest and smallest number of recent losses that a new loss is compared with."""


@dataclass
class TrainingHistory:
    """State of a run except weights and optimiser; the fields are saved in checkpoints.

    Args:
        step: number of completed steps.
        bad: number of consecutive steps with a non-finite gradient, up to the last step.
        skipped: number of all steps with a non-finite gradient; they do not change the weights.
        history: one row per ``log_every`` steps.
        epochs: one row per monitored epoch.
        spikes: step, loss and limit of each loss spike.
        losses: most recent finite losses.
        sums: sums of the loss terms since the last row.
        summed: number of steps in ``sums``.
        best: highest AUROC of the online probe, and its step; ``None`` without a probe result.
        collapse: description of the collapse in the last monitored epoch, or ``None``.
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

    def state_dict(self) -> dict[str, Any]:
        """Return all fields, as types that ``torch.load`` reads with ``weights_only=True``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def add(self, terms: dict[str, Tensor], deviations: float) -> None:
        """Add the loss terms of a finite step, and record a loss spike if the loss exceeds the limit.

        Args:
            terms: scalar loss terms, including ``loss``.
            deviations: limit of a loss spike, in robust standard deviations above the median of the recent losses. A robust
                standard deviation is 1.4826 times the median absolute deviation, at least 1 % of the median.
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

    def add_row(self, **figures: float) -> dict[str, float] | None:
        """Append and return a row with ``figures`` and the mean loss terms since the last row.

        Return ``None`` and append no row if there are no new steps.
        """
        if not self.summed:
            return None
        row = {name: float(value) / self.summed for name, value in self.sums.items()}
        row |= {**figures, "loss_spikes": len(self.spikes), "skipped_steps": self.skipped}
        self.history.append(row)
        self.sums, self.summed = {}, 0
        return row
