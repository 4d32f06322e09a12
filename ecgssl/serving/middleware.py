"""ASGI middleware of the service: limits, token, security headers and a log without personal data."""

from __future__ import annotations

import asyncio
import hmac
import time
import traceback

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecgssl.errors import Problem
from ecgssl.serving.request_limits import LOG, RequestError, RequestLimits
from ecgssl.serving.schemas import error_body

OPEN = ("/", "/health")
"""Paths that need no token, in addition to the files of the page. They reveal nothing about the model or recordings."""
ASSETS = "/assets/"
INTERNAL_ERROR = Problem("service", "request", "Internal error", "Report the time of this request to the operator")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class RequestMiddleware:
    """Middleware that checks limits and token, adds headers and logs each request.

    Args:
        app: application to call.
        limits: limits of a request.
        token: token expected in ``Authorization: Bearer``; ``None`` if no token is needed.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, token: str | None) -> None:
        self.app, self.limits = app, limits
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        self._active += 1
        try:
            self._admit(scope)
            await self.app(scope, self._limited(scope, receive), answer)
        except RequestError as error:
            await error_response(error)(scope, receive, answer)
        except Exception as error:
            # log only the stack frames, because the exception message may contain request data
            frames = traceback.extract_tb(error.__traceback__)[-5:]
            places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
            LOG.error("%s in %s", type(error).__name__, places)
            if not status:
                await error_response(RequestError(500, INTERNAL_ERROR))(scope, receive, answer)
        finally:
            self._active -= 1
            route = getattr(scope.get("route"), "path", "-")
            took = (time.perf_counter() - start) * 1000
            LOG.info("%s %s %d %.0f ms", scope["method"], route, status, took)

    def _admit(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        if self._active > self.limits.waiting:
            raise RequestError(
                503, Problem("service", "load", "is handling the maximum number of requests", "Try again later")
            )
        path = scope["path"]
        if self._expected is not None and path not in OPEN and not path.startswith(ASSETS):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                what = "is wrong" if given else "is missing"
                raise RequestError(
                    401, Problem("request", "token", what, "Send the header 'Authorization: Bearer TOKEN'")
                )
        stated = headers.get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > self.limits.size:
            raise self._too_large()

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        loop = asyncio.get_running_loop()
        size, until, whole = 0, loop.time() + self.limits.seconds, False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                # the body is complete; wait without a time limit for the disconnect message
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - loop.time())
            except TimeoutError:
                what = f"has not arrived within {self.limits.seconds:g} s"
                raise RequestError(408, Problem("request", "body", what, "Send a smaller recording")) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self.limits.size:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> RequestError:
        what = f"is larger than the limit of {self.limits.size / (1 << 20):g} MiB"
        return RequestError(
            413, Problem("request", "body", what, "Send one recording at a time, or use 'ecgssl predict'")
        )


def error_response(error: RequestError) -> JSONResponse:
    """Return the HTTP response for an error."""
    # close the connection after 408 and 413, because the body has not been read completely
    headers = {
        401: {"www-authenticate": "Bearer"},
        408: {"connection": "close"},
        413: {"connection": "close"},
        503: {"retry-after": "1"},
    }
    return JSONResponse(error_body(error), error.status, headers.get(error.status, {}))
