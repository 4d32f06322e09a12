"""The headline of an evaluation: one row per task and mode, as metrics and as a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ecgssl.evaluation.finetune import BASELINE


@dataclass(frozen=True)
class Headline:
    """Macro AUROC and AUPRC on test of one model, beside the random encoder's probe.

    Numbers that are undefined are ``None``. ``low`` and ``high`` bound the patient-clustered bootstrap interval;
    ``gain`` is the paired difference to the random encoder.
    """

    task: str
    mode: str
    records: int
    auroc: float | None
    auroc_low: float | None
    auroc_high: float | None
    auprc: float | None
    random_auroc: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    gain_p: float | None

    def metrics(self) -> dict[str, float]:
        """All defined numbers, flat, for ``dvc metrics`` and MLflow."""
        return {k: v for k, v in vars(self).items() if isinstance(v, int | float)}


def headline(task: str, mode: str, figures: dict[str, Any], split: str = "test") -> Headline:
    """Pick the headline out of what ``evaluate`` returns."""
    own = figures["models"][mode][split]["macro"]
    random = figures["models"][BASELINE][split]["macro"]
    gain = figures["paired"][split][BASELINE]["auroc"]
    return Headline(
        task, mode, figures["splits"][split]["records"],
        own["auroc"]["value"], own["auroc"]["low"], own["auroc"]["high"], own["auprc"]["value"],
        random["auroc"]["value"], gain["difference"], gain["low"], gain["high"], gain["p"],
    )  # fmt: skip


def leaderboard(rows: Sequence[Headline]) -> str:
    """A Markdown table, best AUROC of a task first."""
    lines = [
        "| task | mode | test recordings | macro AUROC (95 % interval) | macro AUPRC | random encoder | gain (interval, p) |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: (r.task, -(r.auroc or 0))):
        lines.append(
            f"| {r.task} | {r.mode} | {r.records} | {_number(r.auroc)} ({_number(r.auroc_low)} to {_number(r.auroc_high)}) "
            f"| {_number(r.auprc)} | {_number(r.random_auroc)} "
            f"| {_number(r.gain, '+')} ({_number(r.gain_low, '+')} to {_number(r.gain_high, '+')}, p {_number(r.gain_p)}) |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.3f}"
