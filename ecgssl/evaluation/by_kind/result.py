"""What the scoring of one model on one split leaves, whatever the kind of task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecgssl.evaluation.statistics.bootstrap import Replicates
from ecgssl.evaluation.statistics.metrics import Array


@dataclass(frozen=True)
class Result:
    """Figures of one model, and what a paired comparison needs.

    Args:
        figures: ``{"macro": ..., "labels": {name: ...}}`` for JSON.
        point: metric -> (K,) by label; these are compared between models.
        replicates: the same in every resample of patients.
    """

    figures: dict[str, Any]
    point: dict[str, Array]
    replicates: Replicates
