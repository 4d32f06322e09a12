"""Parameters of section ``evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import Section


class EvaluateParams(Section):
    """Evaluation of predictions (``docs/evaluation.md``).

    Args:
        bootstrap: number of bootstrap resamples of patients, and of permutations of a comparison.
        confidence: level of the confidence intervals.
        calibration: calibration method, fitted on validation. ``platt`` also corrects the shift caused by balanced class
            weights, which ``temperature`` cannot, and needs a tenth of the events that ``isotonic`` needs.
        sensitivities: target sensitivities of thresholds chosen on validation, in addition to Youden's threshold.
        specificities: target specificities of such thresholds.
        subgroups: columns of the store that define subgroups; columns that the store lacks are skipped.
        age_bands: lower bounds of the age groups in years.
        one_per_patient: score only the first recording of each patient in the order of ``record_id``.
    """

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "platt"
    sensitivities: list[Annotated[float, Field(gt=0, lt=1)]] = [0.9]
    specificities: list[Annotated[float, Field(gt=0, lt=1)]] = [0.9]
    subgroups: list[str] = ["sex", "age", "site", "device"]
    age_bands: list[Annotated[float, Field(gt=0)]] = [18, 40, 65, 75]
    one_per_patient: bool = False

    @model_validator(mode="after")
    def _rising(self) -> EvaluateParams:
        if sorted(set(self.age_bands)) != self.age_bands:
            raise ValueError(f"age_bands {self.age_bands} must be in ascending order")
        return self
