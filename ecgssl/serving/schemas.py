"""Schemas of requests and responses. ``/openapi.json`` is generated from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.serving.request_limits import RequestError
from ecgssl.signal.reasons import REASON_TEXTS

NOTICE = (
    "For research only. Not a medical device, not validated for any clinical decision. The metrics of this model are valid for "
    "recordings like those it was trained and tested on."
)


class SignalIn(BaseModel):
    """A raw recording: unfiltered and not normalised."""

    model_config = ConfigDict(extra="forbid", strict=True)

    signal: Annotated[
        list[Annotated[list[float | None], Field(max_length=1 << 21)]],
        Field(
            min_length=1,
            max_length=64,
            description="One row per lead in mV, all of the same length; null for a missing value.",
        ),
    ]
    sampling_rate: Annotated[float, Field(gt=0, le=100_000, description="Sampling rate in Hz.")]
    leads: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(min_length=1, max_length=64, description="Lead names of the rows: I, II, ... V6, in any order."),
    ]


class ProblemOut(BaseModel):
    """A problem with the request."""

    where: str
    field: str
    what: str
    remedy: str


class ReasonOut(BaseModel):
    """A reason code and its meaning."""

    code: str
    meaning: str


class RefusalOut(BaseModel):
    """Reasons for rejecting a request."""

    problems: list[ProblemOut]
    reasons: Annotated[list[ReasonOut], Field(description="Reasons if the recording cannot be used; otherwise empty.")]


class FindingOut(ReasonOut):
    """Quality finding of a scored recording."""

    lead: Annotated[str | None, Field(description="Lead of the finding; null for the whole recording.")]
    value: Annotated[float | None, Field(description="Value that exceeds the limit.")]


class RecordingOut(BaseModel):
    """Properties of the recording and its preprocessing."""

    sampling_rate: Annotated[float, Field(description="Sampling rate of the raw recording in Hz.")]
    duration: Annotated[float, Field(description="Duration of the raw recording in s.")]
    recorded_seconds: Annotated[
        float,
        Field(description="Recorded part of a window in s; less than the model's duration for a short recording."),
    ]
    leads: Annotated[list[str], Field(description="Leads passed to the model.")]
    heart_rate: Annotated[float | None, Field(description="Beats per minute; null if it cannot be measured.")]
    windows: Annotated[int, Field(description="Number of windows that were scored.")]
    windows_rejected: int
    findings: list[FindingOut]


class CallOut(BaseModel):
    """Comparison of a score with a threshold of the model."""

    threshold: str
    value: float
    positive: bool


class ScoreOut(BaseModel):
    """Score of one label, class or regression target."""

    target: str
    logit: Annotated[float | None, Field(description="null for a regression.")]
    probability: Annotated[
        float | None, Field(description="Probability, calibrated as in /model; null for a regression.")
    ]
    value: Annotated[float | None, Field(description="Regression: value in the target's unit; otherwise null.")]
    calls: list[CallOut]


class AnswerOut(BaseModel):
    """Fields of every response about a recording."""

    model: Annotated[str, Field(description="Version of ecgssl and of the bundle.")]
    fingerprint: Annotated[str, Field(description="Fingerprint of the preprocessing settings.")]
    recording: RecordingOut
    notice: str


class PredictionOut(AnswerOut):
    """Scores of one recording."""

    scores: list[ScoreOut]
    predicted: Annotated[str | None, Field(description="Most probable class if classes are exclusive; otherwise null.")]


class EmbeddingOut(AnswerOut):
    """Embedding of one recording."""

    embedding: list[float]


class ViewOut(PredictionOut):
    """Scores and drawing of one recording."""

    drawing: Annotated[str, Field(description="First ten seconds of the raw recording: data: URI of a PNG.")]


class LookedOut(AnswerOut):
    """Attributions of one target."""

    target: str
    method: Annotated[str, Field(description="Method of attribution: integrated_gradients or rollout.")]
    drawing: Annotated[str, Field(description="Input of the model, coloured by attribution: data: URI of a PNG.")]
    shares: Annotated[
        dict[str, float], Field(description="Share of each lead in the absolute attributions; the sum is 1.")
    ]
    in_words: str


class ThresholdOut(BaseModel):
    """Threshold of a label, with sensitivity and specificity on the data used to choose it."""

    name: str
    value: float | None
    sensitivity: float | None
    specificity: float | None
    reason: Annotated[str, Field(description="Reason if there is no value.")]


class TargetOut(BaseModel):
    """Target of a classifier, with calibration method and thresholds."""

    name: str
    calibration: str
    thresholds: list[ThresholdOut]


class ModelOut(BaseModel):
    """Description of the served model."""

    model: str
    fingerprint: str
    kind: Annotated[str, Field(description="Kind of model: multilabel, multiclass, regression or encoder.")]
    targets: list[TargetOut]
    calibration_note: str
    embed_dim: int
    leads: list[str]
    sampling_rate: float
    duration: float
    min_duration: Annotated[float, Field(description="Shortest accepted recording in s.")]
    explains: Annotated[str | None, Field(description="Method of /explain; null for an encoder and without torch.")]
    largest_request: Annotated[int, Field(description="Largest request in bytes.")]
    notice: str


class HealthOut(BaseModel):
    """Status of the service."""

    status: str


def reasons_of(codes: tuple[str, ...] | list[str]) -> list[ReasonOut]:
    """Return each reason code with its meaning."""
    return [ReasonOut(code=code, meaning=REASON_TEXTS.get(code, code)) for code in codes]


def error_body(error: RequestError) -> dict[str, Any]:
    """Return the JSON body of the response to a rejected request."""
    problems = [ProblemOut(**asdict(problem)) for problem in error.problems]
    return RefusalOut(problems=problems, reasons=reasons_of(error.reasons)).model_dump()
