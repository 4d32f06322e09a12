"""The routes of the service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import anyio
from anyio import CapacityLimiter
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ecgssl.errors import Problem
from ecgssl.scoring.preprocess import Windows
from ecgssl.serving.middleware import RequestMiddleware, error_response
from ecgssl.serving.read_upload import ReadJob, ReadResult
from ecgssl.serving.request_body import BODY, parse_body
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.serving.schemas import (
    NOTICE,
    EmbeddingOut,
    HealthOut,
    LookedOut,
    ModelOut,
    PredictionOut,
    RefusalOut,
    ViewOut,
)
from ecgssl.serving.service import Service
from ecgssl.version import __version__

Result = TypeVar("Result")
Policy = Annotated[
    Windows,
    Query(
        description="Of a long recording: the contract's one window, or the mean or maximum of every window's logits."
    ),
]
Target = Annotated[str, Query(min_length=1, max_length=200, description="Name of one of the model's targets.")]
_WHY = {
    400: "The body is no valid form.",
    401: "The token is missing or wrong.",
    404: "There is nothing here, or the bundle holds no classifier.",
    405: "There is no such method here.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is neither a form nor JSON.",
    422: "The request is not what its schema says, or the recording cannot be used.",
    503: "The service is too busy.",
}
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def create_app(
    service: Service, limits: RequestLimits, token: str | None = None, *, readers: int = 1
) -> RequestMiddleware:
    """Build the application.

    Args:
        service: that answers.
        limits: of requests.
        token: that clients must bring; ``None`` for none.
        readers: how many recordings are read at a time.
    """
    app = FastAPI(
        title="ecgssl",
        version=__version__,
        description=f"Scores and embeddings of 12-lead ECGs under one signal contract. {NOTICE}",
        # their pages fetch scripts from elsewhere
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": RefusalOut, "description": _WHY[code]} for code in (401, 503)},
    )
    app.add_exception_handler(RequestError, _tell)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    # the answer alone: the guard logs it, without what was sent
    app.add_exception_handler(Exception, _tell_bug)
    reading, thinking, explaining, drawing = (CapacityLimiter(n) for n in (max(readers, 1), 1, 1, 1))

    async def prepared(request: Request, windows: Windows, output: str, show: bool = False) -> ReadResult:
        service.require(windows, output)
        job = ReadJob(await parse_body(request), windows, show)
        return await _threaded(reading, service.read, job, limits.seconds)

    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": RefusalOut, "description": _WHY[code]} for code in (400, 404, 408, 413, 415, 422)
    }
    posted: dict[str, Any] = {"responses": refusals, "openapi_extra": BODY}

    @app.get("/health")
    async def health() -> HealthOut:
        """The service is up; needs no token."""
        return HealthOut(status="ok")

    @app.get("/model")
    async def model() -> ModelOut:
        """What is served: version, contract, targets with calibration and thresholds."""
        return service.model(limits.size)

    @app.post("/predict", **posted)
    async def predict(request: Request, windows: Policy = "contract") -> PredictionOut:
        """Score one recording."""
        read = await prepared(request, windows, "logits")
        return PredictionOut(**await _threaded(thinking, service.predict, read, windows))

    @app.post("/embed", **posted)
    async def embed(request: Request, windows: Policy = "contract") -> EmbeddingOut:
        """Embed one recording."""
        read = await prepared(request, windows, "embedding")
        return EmbeddingOut(**await _threaded(thinking, service.embed, read, windows))

    @app.post("/view", **posted)
    async def view(request: Request, windows: Policy = "contract") -> ViewOut:
        """Score one recording and draw it."""
        read = await prepared(request, windows, "logits", show=True)
        scores = await _threaded(thinking, service.predict, read, windows)
        return ViewOut(**scores, drawing=await _threaded(drawing, service.draw, read))

    @app.post("/explain", **posted)
    async def explain(request: Request, target: Target) -> LookedOut:
        """Draw where the model looked for one target, in the contract's window; takes seconds."""
        read = await prepared(request, "contract", "logits")
        return LookedOut(**await _threaded(explaining, service.look, read, target))

    _add_page(app)
    return RequestMiddleware(app, limits, token)


def _add_page(app: FastAPI) -> None:
    folder = files("ecgssl.serving") / "page"
    content = {item.name: item.read_bytes() for item in folder.iterdir() if item.name.endswith(tuple(_MEDIA))}

    def answer(name: str) -> Response:
        return Response(content[name], media_type=_MEDIA[f".{name.rpartition('.')[2]}"])

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return answer("index.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in content:
            raise HTTPException(404)
        return answer(name)


async def _threaded(limiter: CapacityLimiter, function: Callable[..., Result], *arguments: Any) -> Result:
    return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=limiter)


async def _tell(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestError):
        raise error
    return error_response(error)


async def _tell_http(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    what = {404: "is not here", 405: "takes no such method"}.get(error.status_code, "cannot be answered")
    answer = error_response(RequestError(error.status_code, Problem("request", "path", what, "See /openapi.json")))
    answer.headers.update(error.headers or {})
    return answer


async def _tell_bug(_: Request, error: Exception) -> JSONResponse:
    return error_response(
        RequestError(500, Problem("service", "request", "met a bug of the service", "Tell its operator the time"))
    )


async def _tell_invalid(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [
        Problem("request", str(item["loc"][-1])[:80], str(item["msg"])[:200], "See /openapi.json")
        for item in error.errors()
    ]
    return error_response(RequestError(422, problems))
