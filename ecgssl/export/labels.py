"""File ``labels.json`` of a bundle: output names, calibrators and thresholds of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import FILE as DECISION
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.training.model_folder import read_json

LABELS = "labels.json"


class HasTargets(Protocol):
    """Protocol of a classifier, or of a description of its outputs."""

    @property
    def kind(self) -> str:
        """Kind of the task: ``multilabel``, ``multiclass`` or ``regression``."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the outputs."""


def labels_dict(decision: Decision) -> dict[str, Any]:
    """Return the content of ``labels.json``: ``kind``, ``targets`` (in the order of the outputs) and ``decision``."""
    return {"kind": decision.kind, "targets": list(decision.names), "decision": decision.to_dict()}


def read_decision(folder: Path, model: HasTargets) -> Decision | None:
    """Load calibrators and thresholds from ``decision.json`` in a classifier's folder; ``None`` without such a file.

    Raises:
        InputError: the file is invalid, or its labels differ from those of the classifier.
    """
    return _matching(Decision.load(folder), model, folder / DECISION) if (folder / DECISION).exists() else None


def read_labels(folder: Path, model: HasTargets) -> Decision:
    """Load calibrators and thresholds from ``labels.json`` of a bundle.

    Raises:
        InputError: the file is missing or invalid, or its labels differ from those of the classifier.
    """
    path = folder / LABELS
    data = read_json(path)
    decision = _matching(Decision.from_dict(data.get("decision"), str(path)), model, path)
    stated = {name: value for name, value in data.items() if name != "decision"}
    if stated != {"kind": model.kind, "targets": list(model.targets)}:
        raise InputError(Problem(str(path), "targets", "differ from those of the model", EXPORT_AGAIN))
    return decision


def _matching(decision: Decision, model: HasTargets, path: Path) -> Decision:
    if (decision.kind, decision.names) != (model.kind, model.targets):
        what = (
            f"are {decision.kind} {', '.join(decision.names)}; the model has {model.kind} {', '.join(model.targets)}"[
                :500
            ]
        )
        raise InputError(
            Problem(
                str(path),
                "labels",
                what,
                "Run 'ecgssl finetune' or 'ecgssl recalibrate' again, which writes both files",
            )
        )
    return decision
