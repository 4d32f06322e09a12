"""The bodies of requests and answers; ``/openapi.json`` is made of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.serving.request_limits import RequestError
from ecgssl.signal.reasons import REASON_TEXTS

NOTICE = (
    "For research only. Not a medical device, not validated for any clinical decision. The figures of this model hold for "
    "recordings like those it was trained and tested on."
)


class SignalIn(BaseModel):
    """A raw recording: as it was recorded, neither filtered nor scaled."""

    model_config = ConfigDict(extra="forbid", strict=True)

    signal: Annotated[
        list[Annotated[list[float | None], Field(max_length=1 << 21)]],
        Field(
            min_length=1, max_length=64, description="A row per lead, all of one length, in mV; null for 'no value'."
        ),
    ]
    sampling_rate: Annotated[float, Field(gt=0, le=100_000, description="Hz.")]
    leads: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(
            min_length=1, max_length=64, description="Name of each row: I, II, ... V6, in any order and usual spelling."
        ),
    ]


class ProblemOut(BaseModel):
    """One thing that is wrong."""

    where: str
    field: str
    what: str
    remedy: str


class ReasonOut(BaseModel):
    """A reason code and what it means."""

    code: str
    meaning: str


class RefusalOut(BaseModel):
    """Why there is no answer."""

    problems: list[ProblemOut]
    reasons: Annotated[list[ReasonOut], Field(description="Of a recording that cannot be used; otherwise empty.")]


class FindingOut(ReasonOut):
    """Something about a recording that was scored all the same."""

    lead: Annotated[str | None, Field(description="null for the whole recording.")]
    value: Annotated[float | None, Field(description="The figure past its limit.")]


class RecordingOut(BaseModel):
    """What was received, and what the model saw of it."""

    sampling_rate: Annotated[float, Field(description="Hz, of the recording itself.")]
    duration: Annotated[float, Field(description="Seconds, of the recording itself.")]
    leads: Annotated[list[str], Field(description="That the model saw.")]
    heart_rate: Annotated[float | None, Field(description="Beats per minute; null where it cannot be told.")]
    windows: Annotated[int, Field(description="How many windows of the contract's duration were scored.")]
    windows_rejected: int
    findings: list[FindingOut]


class CallOut(BaseModel):
    """A score beside a threshold that was fixed on validation."""

    threshold: str
    value: float
    positive: bool


class ScoreOut(BaseModel):
    """Of one label, class or number."""

    target: str
    logit: Annotated[float | None, Field(description="null of a regression.")]
    probability: Annotated[float | None, Field(description="Calibrated as /model says; null of a regression.")]
    value: Annotated[float | None, Field(description="Of a regression, in the target's unit; otherwise null.")]
    calls: list[CallOut]


class AnswerOut(BaseModel):
    """What every answer about a recording says."""

    model: Annotated[str, Field(description="Version of release and bundle.")]
    fingerprint: Annotated[str, Field(description="Of the signal contract.")]
    recording: RecordingOut
    notice: str


class PredictionOut(AnswerOut):
    """Scores of one recording."""

    scores: list[ScoreOut]
    predicted: Annotated[str | None, Field(description="The likeliest of exclusive classes; otherwise null.")]


class EmbeddingOut(AnswerOut):
    """What the encoder makes of one recording."""

    embedding: list[float]


class ViewOut(PredictionOut):
    """Scores of one recording, and its picture."""

    drawing: Annotated[
        str, Field(description="The recording as it was recorded, first ten seconds: a data: URI of a PNG.")
    ]


class LookedOut(AnswerOut):
    """Where the model looked."""

    target: str
    method: Annotated[str, Field(description="integrated_gradients or rollout.")]
    drawing: Annotated[
        str, Field(description="What the model saw, coloured by its attributions: a data: URI of a PNG.")
    ]
    shares: Annotated[
        dict[str, float], Field(description="Of each lead in the size of the attributions; adds up to 1.")
    ]
    in_words: str


class ThresholdOut(BaseModel):
    """A cut-off on the probability of a label, and what it did on validation."""

    name: str
    value: float | None
    sensitivity: float | None
    specificity: float | None
    reason: Annotated[str, Field(description="Why there is no value.")]


class TargetOut(BaseModel):
    """One output of a classifier."""

    name: str
    calibration: str
    thresholds: list[ThresholdOut]


class ModelOut(BaseModel):
    """What is served."""

    model: str
    fingerprint: str
    kind: Annotated[str, Field(description="multilabel, multiclass, regression or encoder.")]
    targets: list[TargetOut]
    calibration_note: str
    embed_dim: int
    leads: list[str]
    sampling_rate: float
    duration: float
    explains: Annotated[str | None, Field(description="Method of /explain; null of an encoder.")]
    largest_request: Annotated[int, Field(description="Bytes.")]
    notice: str


class HealthOut(BaseModel):
    """The service is up."""

    status: str


def reasons_of(codes: tuple[str, ...] | list[str]) -> list[ReasonOut]:
    """Codes with their meanings."""
    return [ReasonOut(code=code, meaning=REASON_TEXTS.get(code, code)) for code in codes]


def error_body(refusal: RequestError) -> dict[str, Any]:
    """A refusal as plain data."""
    problems = [ProblemOut(**asdict(problem)) for problem in refusal.problems]
    return RefusalOut(problems=problems, reasons=reasons_of(refusal.reasons)).model_dump()
