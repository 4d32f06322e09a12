"""Calibrators and thresholds of a classifier, stored as ``decision.json`` next to the weights.

Reports, score files and the scoring service all use ``Decision`` to compute probabilities and binary predictions, so
their results agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.checked_json import read_object, shortened, validated
from ecgssl.config import EvaluateParams
from ecgssl.config.manifest import OutputKind
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.calibrators import (
    Array,
    Calibrator,
    Method,
    fit_calibrator,
    fit_linear,
    fit_temperature,
    softmax,
)
from ecgssl.evaluation.calibration.decision_file import FORMAT, VERSION, DecisionFile, LabelEntry
from ecgssl.evaluation.calibration.thresholds import Threshold, fit_thresholds
from ecgssl.files import write_json

if TYPE_CHECKING:
    import pandas as pd

FILE = "decision.json"
KINDS: tuple[str, ...] = get_args(OutputKind)
KEPT = "kept from the first site"
"""Start of ``Calibrator.reason`` if a recalibration did not replace the calibrator of the label."""
_REMEDY = "Make it again with 'ecgssl finetune' or 'ecgssl recalibrate', and a bundle with 'ecgssl export'"


@dataclass(frozen=True)
class LabelDecision:
    """Calibrator and thresholds of one label.

    Args:
        name: name of the label, class (multiclass) or target (regression).
        calibrator: calibrator of the logit. All classes of a multiclass task have the same calibrator.
        thresholds: thresholds by name. Empty for a regression and for a multiclass task, which predicts the most
            probable class.
        positives, negatives: numbers of recordings used for the fit; for a regression, ``positives`` counts all.
    """

    name: str
    calibrator: Calibrator
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    positives: int = 0
    negatives: int = 0


@dataclass(frozen=True)
class Decision:
    """Calibrators and thresholds of all labels of a classifier, in the order of its logits.

    Args:
        kind: ``multilabel``, ``multiclass`` or ``regression``.
        labels: calibrator and thresholds of each logit.
        fitted_on: description of the data used for the fit: split or site, and numbers of recordings and patients.
    """

    kind: OutputKind
    labels: tuple[LabelDecision, ...]
    fitted_on: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is unknown; use one of {', '.join(KINDS)}")
        if not self.labels:
            raise ValueError("a decision needs at least one label")
        if self.kind == "multiclass" and len({label.calibrator.slope for label in self.labels}) > 1:
            raise ValueError("all classes of a multiclass task need the same calibrator")
        linear = [label.calibrator.method == "linear" for label in self.labels]
        if any(linear) if self.kind != "regression" else not all(linear):
            raise ValueError("linear calibrators are required for a regression and invalid for other tasks")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the labels, in order."""
        return tuple(label.name for label in self.labels)

    def probabilities(self, logits: ArrayLike) -> Array:
        """Return calibrated probabilities (N, K) of logits (N, K).

        The rows of a multiclass task sum to 1. For a regression, return calibrated values in the unit of the target.
        """
        z = np.asarray(logits, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != len(self.labels):
            raise ValueError(f"logits have shape {z.shape}, but there are {len(self.labels)} labels")
        if self.kind == "multiclass":
            return softmax(self.labels[0].calibrator.slope * z)
        return np.column_stack([label.calibrator(z[:, k]) for k, label in enumerate(self.labels)])

    def calls(self, logits: ArrayLike, threshold: str = "youden") -> NDArray[np.float64]:
        """Return binary predictions (N, K) at a named threshold; NaN for labels without this threshold.

        For a multiclass task, the most probable class is 1 and the others are 0; ``threshold`` is ignored.

        Raises:
            ValueError: the task is a regression.
        """
        if self.kind == "regression":
            raise ValueError("a regression has no thresholds")
        p = self.probabilities(logits)
        if self.kind == "multiclass":
            return (np.arange(p.shape[1]) == p.argmax(axis=1)[:, None]).astype(np.float64)
        cuts = [label.thresholds.get(threshold) for label in self.labels]
        value = np.array([np.nan if cut is None or cut.value is None else cut.value for cut in cuts])
        return np.where(np.isnan(value), np.nan, (p >= value).astype(np.float64))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary, which ``from_dict`` can read."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Any, where: str = FILE) -> Decision:
        """Create a decision from the output of ``to_dict``.

        Raises:
            InputError: the data have another format or version, or invalid values.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(Problem(where, "format", "does not describe calibrators and thresholds", _REMEDY))
        if data.get("version") != VERSION:
            what = f"is {shortened(data.get('version'))}, this release reads {VERSION}"
            raise InputError(Problem(where, "version", what, _REMEDY))
        found = validated(DecisionFile, data, where, _REMEDY)
        try:
            return cls(found.kind, tuple(_label(entry) for entry in found.labels), found.fitted_on)
        except ValueError as error:
            raise InputError(Problem(where, "content", f"is invalid: {str(error)[:300]}", _REMEDY)) from None

    def save(self, folder: Path | str) -> Path:
        """Write ``decision.json`` into a folder with numbers in full precision, and return its path."""
        return write_json(Path(folder) / FILE, self.to_dict(), digits=None)

    @classmethod
    def load(cls, folder: Path | str) -> Decision:
        """Load ``decision.json`` from the folder of a classifier.

        Raises:
            InputError: the file is missing, is not JSON, or has invalid content.
        """
        path = Path(folder) / FILE
        return cls.from_dict(read_object(path, _REMEDY), str(path))


def fit_decision(
    kind: OutputKind,
    names: Sequence[str],
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    method: Method = "platt",
    sensitivities: Sequence[float] = (0.9,),
    specificities: Sequence[float] = (0.9,),
    fitted_on: dict[str, Any] | None = None,
) -> Decision:
    """Fit calibrators and thresholds on recordings that were not used for training.

    Args:
        kind: kind of the task.
        names: names of the K labels, classes (multiclass) or targets (regression).
        logits: logits (N, K), or predicted values of a regression.
        targets: targets (N, K): 1, 0 or NaN; one-hot or all NaN for multiclass; values or NaN for a regression.
        method: calibration method. For a multiclass task, all methods except ``none`` fit one temperature. A regression
            is calibrated only with ``linear``; with other methods, its values are not changed.
        sensitivities, specificities: required values of further thresholds of a multilabel task, in addition to Youden's.
            Other tasks have no thresholds.
        fitted_on: description of the data, stored in the decision.

    Raises:
        ValueError: the shapes of logits and targets and the number of names do not match.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if z.shape != y.shape or z.shape[1] != len(names):
        raise ValueError(f"logits {z.shape}, targets {y.shape} and {len(names)} names do not match")
    if kind == "multiclass":
        codes = np.where(np.isnan(y).any(axis=1), np.nan, y.argmax(axis=1))
        shared = fit_temperature(z, codes, method)
    labels = []
    for k, name in enumerate(names):
        known = ~np.isnan(y[:, k])
        if kind == "regression":
            calibrator = fit_linear(z[:, k], y[:, k]) if method == "linear" else Calibrator("linear")
            labels.append(LabelDecision(name, calibrator, {}, int(known.sum())))
            continue
        calibrator, cuts = (shared, {}) if kind == "multiclass" else (fit_calibrator(z[:, k], y[:, k], method), {})
        if kind == "multilabel":
            cuts = fit_thresholds(calibrator(z[:, k]), y[:, k], sensitivities, specificities)
        positives = int((y[known, k] == 1).sum())
        labels.append(LabelDecision(name, calibrator, cuts, positives, int(known.sum()) - positives))
    return Decision(kind, tuple(labels), fitted_on or {})


def fit_from_predictions(
    predictions: pd.DataFrame,
    model: str,
    params: EvaluateParams,
    split: str = "val",
    method: Method | None = None,
) -> Decision:
    """Fit the decision of one model on one split of a prediction table.

    Args:
        predictions: prediction table. If it has no rows of the model and split, no calibrator is fitted, and
            ``fitted_on`` of the decision has 0 recordings.
        model: name of the model.
        params: parameters with the calibration method, the thresholds to choose and ``one_per_patient``.
        split: split used for the fit.
        method: calibration method; by default that of ``params``.
    """
    # import here, because pandas takes a second and scoring does not fit decisions
    from ecgssl.evaluation.predictions import first_of_each_patient, kind_of, labels_of, outputs_of, targets_of

    part = predictions[(predictions["model"] == model) & (predictions["split"] == split)]
    part = (first_of_each_patient(part) if params.one_per_patient else part).sort_values("record_id")
    names, kind = labels_of(predictions), kind_of(predictions)
    about = {"split": split, "records": len(part), "patients": int(part["patient"].nunique())}
    return fit_decision(
        kind, names, outputs_of(part, names, kind), targets_of(part, names),
        method=method or params.calibration, sensitivities=params.sensitivities,
        specificities=params.specificities, fitted_on=about,
    )  # fmt: skip


def _label(entry: LabelEntry) -> LabelDecision:
    calibrator = Calibrator(**entry.calibrator.model_dump())
    cuts = {name: Threshold(**cut.model_dump()) for name, cut in entry.thresholds.items()}
    return LabelDecision(entry.name, calibrator, cuts, entry.positives, entry.negatives)
