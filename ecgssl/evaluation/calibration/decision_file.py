"""Typed content of ``decision.json`` and of ``decision`` in ``labels.json``, checked before a calibrator is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.config.manifest import OutputKind
from ecgssl.evaluation.calibration.calibrators import Method

FORMAT = "ecgssl-decision"
VERSION = 1
MOST_LABELS = 2000
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Reason = Annotated[str, Field(max_length=1000)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Share = Annotated[float, Field(ge=0, le=1)]
_MOST_KNOTS = 100_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CalibratorEntry(_Part):
    """Entry of a ``ecgssl.evaluation.calibration.calibrators.Calibrator``."""

    method: Method
    slope: Annotated[float, Field(gt=0, le=1e12)]
    intercept: _Number
    knots: Annotated[tuple[_Number, ...], Field(max_length=_MOST_KNOTS)]
    levels: Annotated[tuple[_Share, ...], Field(max_length=_MOST_KNOTS)]
    reason: _Reason = ""


class ThresholdEntry(_Part):
    """Entry of a ``ecgssl.evaluation.calibration.thresholds.Threshold``."""

    value: _Share | None
    sensitivity: _Share | None = None
    specificity: _Share | None = None
    reason: _Reason = ""


class LabelEntry(_Part):
    """Entry of a ``ecgssl.evaluation.calibration.decision.LabelDecision``."""

    name: _Name
    calibrator: CalibratorEntry
    thresholds: Annotated[dict[_Name, ThresholdEntry], Field(max_length=64)]
    positives: _Count
    negatives: _Count


class DecisionFile(_Part):
    """Content written by ``ecgssl.evaluation.calibration.decision.Decision.to_dict``."""

    format: Literal["ecgssl-decision"]
    version: Literal[1]
    kind: OutputKind
    labels: Annotated[tuple[LabelEntry, ...], Field(min_length=1, max_length=MOST_LABELS)]
    fitted_on: dict[_Name, Any]
