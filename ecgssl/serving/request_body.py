"""Parsing of request bodies in reader processes: uploaded files in a form, or a recording as JSON.

Parsing a malicious body may be slow or need much memory, so the main process does not parse any bodies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ecgssl.errors import Problem
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.io.recording_checks import FASTEST, SLOWEST, lead_problems, rate_problem, shape_problem
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.serving.schemas import SignalIn
from ecgssl.signal.leads import canonical

KINDS = ("application/json", "multipart/form-data")
"""Accepted content types."""
NAME_BYTES = 255
"""Maximum length of a file name in bytes, the limit of most file systems."""
_CHUNK = 1 << 20
_FILES, _FIELDS = 8, 8
_UNITS = ("nV", "uV", "mV", "V")
_FILE_FIELDS = ("files", "file")
"""Accepted names of the form field for files. Many clients use the second name for a single file."""
_TEXT = {"member", "sampling_rate", "unit", "leads"}

FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "additionalProperties": False,
    "properties": {
        "files": {
            "type": "array",
            "minItems": 1,
            "maxItems": _FILES,
            "items": {"type": "string", "format": "binary"},
            "description": "One recording in any supported format; header and signal file of a WFDB record.",
        },
        "member": {
            "type": "string",
            "minLength": 1,
            "description": "Name of the recording in a file with several recordings.",
        },
        "sampling_rate": {
            "type": "number",
            "minimum": SLOWEST,
            "maximum": FASTEST,
            "description": "Sampling rate in Hz, if the file does not contain it.",
        },
        "unit": {"type": "string", "enum": list(_UNITS), "description": "Unit, if the file does not contain it."},
        "leads": {
            "type": "string",
            "minLength": 1,
            "description": "Lead names of the rows, separated by commas, if the file does not contain them.",
        },
    },
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": FORM_SCHEMA,
                "encoding": {"files": {"contentType": "application/octet-stream"}},
            },
            "application/json": {"schema": SignalIn.model_json_schema()},
        },
    }
}
"""Request body in ``openapi.json``."""


@dataclass(frozen=True)
class SentBody:
    """Body of a request.

    Args:
        path: file with the body.
        content_type: header ``Content-Type``.
    """

    path: Path
    content_type: str


@dataclass(frozen=True)
class Upload:
    """Uploaded files of one recording.

    Args:
        files: name and content of each file. Formats such as WFDB use several files per recording.
        member: name of the recording in a file with several recordings.
        overrides: metadata that replace missing or wrong metadata in the file.
    """

    files: tuple[tuple[str, bytes], ...]
    member: str | None = None
    overrides: MetadataOverrides = NO_OVERRIDES


def content_kind(content_type: str) -> str:
    """Return the media type of a ``Content-Type`` header, without parameters and in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(body: SentBody) -> bool:
    """Return whether a body is JSON, not a form with files."""
    return content_kind(body.content_type) == "application/json"


def parse_body(body: SentBody, limits: RequestLimits) -> Upload | Recording:
    """Return the uploaded files or the recording in the body of a request.

    Args:
        body: body with one of the content types ``KINDS``.
        limits: limits; ``values`` is used.

    Raises:
        RequestError: the body does not match its schema, or is too large.
    """
    if is_json(body):
        return _recording(body.path.read_bytes(), limits)
    return _upload(asyncio.run(_form(body)))


def _recording(body: bytes, limits: RequestLimits) -> Recording:
    # JSON separates values by commas, so this limits the memory of the parsed body before it is parsed
    if body.count(b",") >= limits.values:
        what = f"has more than {limits.values} values"
        raise RequestError(413, _problem("body", what, "Send a shorter recording, or a file"))
    try:
        sent = SignalIn.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        problems, reasons = _value_problems(_valid_fields(body, errors))
        raise RequestError(422, [_schema_problem(item) for item in errors[:10]] + problems, reasons) from None
    problems, reasons = _value_problems(dict(sent))
    if problems:
        raise RequestError(422, problems, reasons)
    with np.errstate(over="ignore"):
        signal = np.array(sent.signal, dtype=np.float64).astype(np.float32)
    # values beyond the range of float32 are treated as missing, like null
    return Recording(
        np.where(np.isfinite(signal), signal, np.float32(np.nan)), sent.sampling_rate, tuple(sent.leads), ""
    )


def _valid_fields(body: bytes, errors: list[Any]) -> dict[str, Any]:
    """Return the fields of a body that match the schema, so that one response reports the problems of all fields."""
    invalid = {item["loc"][0] if item["loc"] else None for item in errors}
    if None in invalid:
        return {}  # not a JSON object
    return {name: value for name, value in from_json(body).items() if name not in invalid}


def _value_problems(fields: dict[str, Any]) -> tuple[list[Problem], tuple[str, ...]]:
    """Return the problems of fields that match the schema, and the reason codes of these problems."""
    signal, leads, rate = (fields.get(name) for name in ("signal", "leads", "sampling_rate"))
    problems: list[Problem] = []
    if signal is not None:
        lengths = {len(row) for row in signal}
        if len(lengths) > 1:
            remedy = "Send all leads with the same number of samples"
            problems.append(_problem("signal", "has rows of different lengths", remedy))
        elif problem := shape_problem((len(signal), *lengths), None if leads is None else len(leads)):
            problems.append(problem)
    found = {} if leads is None else lead_problems(leads)
    if rate is not None and (problem := rate_problem(rate)):
        found["rate"] = problem
    return problems + list(found.values()), tuple(found)


def _schema_problem(item: Any) -> Problem:
    if item["loc"] == ("signal",) and item["type"] == "too_long":
        what = f"{item['msg']}; one row per lead is required, but these may be the samples: transpose?"
        return _problem("signal", what, "Send one row per lead")
    return _problem(".".join(map(str, item["loc"][:2])) or "body", _plain(item), "See /openapi.json")


def _plain(item: Any) -> str:
    # pydantic's messages contain request data only if the JSON cannot be parsed
    return "is not JSON" if item["type"] == "json_invalid" else str(item["msg"])


class _Parser(MultiPartParser):
    # keep files in memory, because starlette's temporary files would not be in the private folder
    spool_max_size = 1 << 40


async def _form(body: SentBody) -> FormData:
    async def chunks() -> AsyncGenerator[bytes, None]:
        with body.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    headers = Headers({"content-type": body.content_type})
    parser = _Parser(headers, chunks(), max_files=_FILES, max_fields=_FIELDS, max_part_size=1 << 16)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise RequestError(
            400, _problem("body", f"is not a valid form ({error.message})", "Send multipart/form-data")
        ) from None


def _upload(form: FormData) -> Upload:
    unknown = sorted({name for name in form if name not in _FILE_FIELDS and name not in _TEXT})
    if unknown:
        raise RequestError(
            422, _problem("form", f"has {len(unknown)} unknown fields", f"Use files, {', '.join(sorted(_TEXT))}")
        )
    sent = [item for name in _FILE_FIELDS for item in form.getlist(name)]
    if not sent:
        raise RequestError(422, _problem("files", "are missing", "Send at least one file in the field 'files'"))
    files = []
    for item in sent:
        # starlette parses a part without a file name as a text field
        name, content = (
            (item.filename or "file", item.file.read()) if isinstance(item, UploadFile) else ("file", item.encode())
        )
        if len(name.encode(errors="replace")) > NAME_BYTES:
            what = f"have a name that is longer than {NAME_BYTES} bytes"
            raise RequestError(422, _problem("files", what, "Use a shorter file name"))
        files.append((name, content))
    return Upload(tuple(files), **_fields({name: form.getlist(name) for name in _TEXT if name in form}))


def _fields(texts: dict[str, list[Any]]) -> dict[str, Any]:
    for name, values in texts.items():
        if len(values) > 1 or not isinstance(values[0], str) or not values[0].strip():
            raise RequestError(422, _problem(name, "is empty or sent more than once", "Send it once"))
    text = {name: values[0].strip() for name, values in texts.items()}
    rate = None
    if "sampling_rate" in text:
        try:
            rate = float(text["sampling_rate"])
        except ValueError:
            rate = -1.0
        if not SLOWEST <= rate <= FASTEST:
            what = f"is not a number from {SLOWEST:g} to {FASTEST:.0f}"
            raise RequestError(422, _problem("sampling_rate", what, "Send a number in Hz, such as 500"))
    unit = text.get("unit")
    if unit is not None and unit not in _UNITS:
        raise RequestError(422, _problem("unit", "is not a known unit", f"Send one of {', '.join(_UNITS)}"))
    leads = tuple(name.strip() for name in text.get("leads", "").split(",") if name.strip()) or None
    repeated = [lead for lead, count in Counter(map(canonical, leads or ())).items() if lead and count > 1]
    if repeated:
        problem = _problem("leads", f"has {', '.join(repeated)} more than once", "Use each lead once")
        raise RequestError(422, problem, ("duplicate_lead",))
    return {"member": text.get("member"), "overrides": MetadataOverrides(rate, unit, leads)}


def _problem(field: str, what: str, remedy: str) -> Problem:
    return Problem("request", field, what, remedy)
