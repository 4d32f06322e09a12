"""Routes of the HTTP service."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import anyio
import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from ecgssl.errors import Problem
from ecgssl.scoring.preprocess import Windows
from ecgssl.scoring.scores import Output, combine_windows
from ecgssl.serving.allowed_hosts import AllowedHosts
from ecgssl.serving.fair_turns import FairTurns
from ecgssl.serving.middleware import GONE, INTERNAL_ERROR, RequestMiddleware, error_response
from ecgssl.serving.read_upload import ReadJob, ReadResult
from ecgssl.serving.receive_body import BodyStore
from ecgssl.serving.request_body import BODY
from ecgssl.serving.request_limits import RequestError, RequestLimits, client_of
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
        description="Long recordings: use the window used in training, or the mean or maximum of the logits of all windows."
    ),
]
Target = Annotated[str, Query(min_length=1, max_length=200, description="Name of a target of the model.")]
_DESCRIPTIONS = {
    400: "The body is not a valid form.",
    401: "The token is missing or wrong.",
    403: "The host name is unknown, or a page of another site sent the request.",
    404: "The path does not exist, or the bundle contains no classifier.",
    405: "The path does not accept this method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is neither a form nor JSON.",
    422: "The request does not match its schema, or the recording cannot be used.",
    503: "The service is too busy, or has no space for the body.",
}
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def create_app(
    service: Service,
    limits: RequestLimits,
    token: str | None = None,
    *,
    readers: int = 1,
    hosts: AllowedHosts | None = None,
) -> RequestMiddleware:
    """Return the ASGI application.

    Args:
        service: service that computes the responses.
        limits: limits of a request.
        token: token that clients must send; ``None`` if no token is needed.
        readers: number of recordings read in parallel.
        hosts: host names under which the service may be called; the default is this machine only.
    """
    app = FastAPI(
        title="ecgssl",
        version=__version__,
        description=f"Scores and embeddings of 12-lead ECGs. {NOTICE}",
        # disable the documentation pages, because they load scripts from other servers
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": RefusalOut, "description": _DESCRIPTIONS[code]} for code in (401, 403, 503)},
    )
    # return errors without request data; RequestMiddleware writes the log
    for kind in (RequestError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _error_response)
    reading, model_runs, explaining, drawing = (FairTurns(slots) for slots in (max(readers, 1), 1, 1, 1))
    threads = anyio.CapacityLimiter(max(readers, 1) + 3)
    bodies = BodyStore(service.readers.root, limits.total)

    async def take_turn(turns: FairTurns, request: Request, function: Callable[..., Result], *arguments: Any) -> Result:
        async with turns.turn(client_of(request.scope), limits.seconds):
            return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=threads)

    async def prepare(request: Request, windows: Windows, output: Output, show: bool = False) -> ReadResult:
        service.require(windows, output)
        async with bodies.receive(request) as body:
            job = ReadJob(body, windows, show)
            return await take_turn(reading, request, service.read, job, limits.seconds, request.scope[GONE])

    async def outputs(request: Request, read: ReadResult, output: Output, windows: Windows) -> NDArray[np.float32]:
        """Run the model on one part of the windows per turn, so that other clients are served in between."""
        parts, spent = service.parts(read), 0.0
        found: list[NDArray[np.float32]] = []
        for part in parts:
            if spent > limits.model_seconds:
                what = f"needs more than {limits.model_seconds:g} s of the model"
                remedy = "Use windows=contract, or 'ecgssl predict'"
                raise RequestError(422, Problem("recording", "time", what, remedy))
            values, seconds = await take_turn(model_runs, request, _timed, service.run, read, part, output)
            found.append(values)
            spent += seconds
        return combine_windows(np.concatenate(found), windows)

    errors: dict[int | str, dict[str, Any]] = {
        code: {"model": RefusalOut, "description": _DESCRIPTIONS[code]} for code in (400, 404, 408, 413, 415, 422)
    }
    posted: dict[str, Any] = {"responses": errors, "openapi_extra": BODY}

    @app.get("/health")
    async def health() -> HealthOut:
        """Return the status of the service. No token is needed."""
        return HealthOut(status="ok")

    @app.get("/model")
    async def model() -> ModelOut:
        """Return the model version, preprocessing settings, and targets with calibration and thresholds."""
        return service.model(limits.size)

    @app.post("/predict", **posted)
    async def predict(request: Request, windows: Policy = "contract") -> PredictionOut:
        """Return the scores of one recording."""
        read = await prepare(request, windows, "logits")
        return PredictionOut(**service.predict(read, await outputs(request, read, "logits", windows)))

    @app.post("/embed", **posted)
    async def embed(request: Request, windows: Policy = "contract") -> EmbeddingOut:
        """Return the embedding of one recording."""
        read = await prepare(request, windows, "embedding")
        return EmbeddingOut(**service.embed(read, await outputs(request, read, "embedding", windows)))

    @app.post("/view", **posted)
    async def view(request: Request, windows: Policy = "contract", narrow: bool = False) -> ViewOut:
        """Return the scores and a drawing of one recording; a narrow drawing has one lead per row, for a phone."""
        read = await prepare(request, windows, "logits", show=True)
        scores = service.predict(read, await outputs(request, read, "logits", windows))
        return ViewOut(**scores, drawing=await take_turn(drawing, request, service.draw, read, narrow))

    @app.post("/explain", **posted)
    async def explain(request: Request, target: Target, narrow: bool = False) -> LookedOut:
        """Return the attributions of one target, with a drawing as in ``view``. The windows policy ``contract`` is used."""
        read = await prepare(request, "contract", "logits")
        bounds = limits.model_seconds, request.scope[GONE], narrow
        return LookedOut(**await take_turn(explaining, request, service.explain, read, target, *bounds))

    _add_page(app)
    return RequestMiddleware(app, limits, token, hosts or AllowedHosts())


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


def _timed(function: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """Return the result of a function and its wall time in s."""
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


async def _error_response(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestError):
        return error_response(error)
    if isinstance(error, HTTPException):
        what = {404: "does not exist", 405: "does not accept this method"}.get(error.status_code, "cannot be processed")
        answer = error_response(RequestError(error.status_code, Problem("request", "path", what, "See /openapi.json")))
        answer.headers.update(error.headers or {})
        return answer
    if isinstance(error, RequestValidationError):
        problems = [
            Problem("request", str(item["loc"][-1])[:80], str(item["msg"])[:200], "See /openapi.json")
            for item in error.errors()
        ]
        return error_response(RequestError(422, problems))
    return error_response(RequestError(500, INTERNAL_ERROR))
