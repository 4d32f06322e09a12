"""Parsing of request bodies: uploaded files in a form, or a recording as JSON."""

from __future__ import annotations

from typing import Any

import anyio
import numpy as np
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ecgssl.errors import Problem
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.serving.read_upload import Upload
from ecgssl.serving.request_limits import RequestError
from ecgssl.serving.schemas import SignalIn

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
            "exclusiveMinimum": 0,
            "maximum": 100_000,
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


async def parse_body(request: Request) -> Upload | Recording:
    """Return the uploaded files or the recording in the body of a request.

    Raises:
        RequestError: the content type is not supported, or the body does not match its schema.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await anyio.to_thread.run_sync(_recording, await request.body())
    if kind == "multipart/form-data":
        return await _upload(request)
    what = f"is {kind or 'missing'}"[:80]
    raise RequestError(415, _problem("content-type", what, "Send multipart/form-data with files, or application/json"))


def _recording(body: bytes) -> Recording:
    try:
        sent = SignalIn.model_validate_json(body)
    except ValidationError as error:
        problems = [
            _problem(".".join(map(str, item["loc"][:2])) or "body", _plain(item), "See /openapi.json")
            for item in error.errors(include_input=False, include_url=False)[:10]
        ]
        raise RequestError(422, problems) from None
    lengths = {len(row) for row in sent.signal}
    if len(lengths) > 1:
        raise RequestError(
            422, _problem("signal", "has rows of different lengths", "Send all leads with the same number of samples")
        )
    if len(sent.signal) != len(sent.leads):
        what = f"has {len(sent.leads)} names for {len(sent.signal)} rows of the signal"
        raise RequestError(422, _problem("leads", what, "Send one name per row"))
    with np.errstate(over="ignore"):
        signal = np.array(sent.signal, dtype=np.float64).astype(np.float32)
    # values beyond the range of float32 are treated as missing, like null
    return Recording(
        np.where(np.isfinite(signal), signal, np.float32(np.nan)), sent.sampling_rate, tuple(sent.leads), ""
    )


def _plain(item: Any) -> str:
    # pydantic's messages contain request data only if the JSON cannot be parsed
    return "is not JSON" if item["type"] == "json_invalid" else str(item["msg"])


async def _upload(request: Request) -> Upload:
    try:
        form = await request.form(max_files=_FILES, max_fields=_FIELDS, max_part_size=1 << 16)
    except HTTPException as error:
        raise RequestError(
            400, _problem("body", f"is not a valid form ({error.detail})", "Send multipart/form-data")
        ) from None
    try:
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
            content = await item.read() if isinstance(item, UploadFile) else item.encode()
            files.append((item.filename or "file" if isinstance(item, UploadFile) else "file", content))
        texts = {name: form.getlist(name) for name in _TEXT if name in form}
    finally:
        await form.close()
    return Upload(tuple(files), **_fields(texts))


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
        if not 0 < rate <= 100_000:
            raise RequestError(
                422,
                _problem(
                    "sampling_rate",
                    "is not a number greater than 0 and at most 100000",
                    "Send a number in Hz, such as 500",
                ),
            )
    unit = text.get("unit")
    if unit is not None and unit not in _UNITS:
        raise RequestError(422, _problem("unit", "is not a known unit", f"Send one of {', '.join(_UNITS)}"))
    leads = tuple(name.strip() for name in text.get("leads", "").split(",") if name.strip()) or None
    return {"member": text.get("member"), "overrides": MetadataOverrides(rate, unit, leads)}


def _problem(field: str, what: str, remedy: str) -> Problem:
    return Problem("request", field, what, remedy)
