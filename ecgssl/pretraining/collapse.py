"""When a representation says the same of every recording."""

from __future__ import annotations

from collections.abc import Mapping

from ecgssl.config import CollapseParams


def detect_collapse(figures: Mapping[str, float], limits: CollapseParams) -> str | None:
    """How a representation has collapsed, in words; ``None`` where it has not.

    Args:
        figures: ``effective_rank`` of the global vectors: their spread is along so many directions (Jing et al. 2022 call
            few of them dimensional collapse), and ``uniformity`` of the projected ones: 0 where all coincide. One that is
            absent is not looked at.
        limits: of both.
    """
    found = []
    rank, uniformity = figures.get("effective_rank"), figures.get("uniformity")
    if uniformity is not None and uniformity > limits.max_uniformity:
        found.append(f"complete collapse: uniformity {uniformity:.3g} is above {limits.max_uniformity:g}")
    if rank is not None and rank < limits.min_effective_rank:
        found.append(f"dimensional collapse: effective rank {rank:.3g} is below {limits.min_effective_rank:g}")
    return "; ".join(found) or None
