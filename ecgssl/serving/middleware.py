"""ASGI middleware of the service: hosts, limits, token, disconnection, security headers and a log without personal data."""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
import traceback
from collections import Counter

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecgssl.errors import Problem
from ecgssl.serving.allowed_hosts import AllowedHosts
from ecgssl.serving.request_limits import LOG, RequestError, RequestLimits, client_of
from ecgssl.serving.schemas import error_body

OPEN = ("/", "/health")
"""Paths that need no token, in addition to the files of the page. They reveal nothing about the model or recordings."""
ASSETS = "/assets/"
HEALTH = "/health"
"""Path that is answered for any host name and under any load."""
GONE = "ecgssl.gone"
"""Key of the ASGI scope with a ``threading.Event`` that is set if the client disconnects."""
_READ_ONLY = ("GET", "HEAD", "OPTIONS")
_DISCONNECTED = 499
"""Status in the log of a request whose client disconnected before the response was complete."""
INTERNAL_ERROR = Problem("service", "request", "Internal error", "Report the time of this request to the operator")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class RequestMiddleware:
    """Middleware that checks host, limits and token, stops requests of disconnected clients, and logs each request.

    Args:
        app: application to call.
        limits: limits of a request.
        token: token expected in ``Authorization: Bearer``; ``None`` if no token is needed.
        hosts: host names under which the service may be called.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, token: str | None, hosts: AllowedHosts) -> None:
        self.app, self.limits, self.hosts = app, limits, hosts
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._active: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        sent = anyio.Event()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                sent.set()
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        client = client_of(scope)
        self._active[client] += 1
        scope[GONE] = gone = threading.Event()
        try:
            async with anyio.create_task_group() as group:
                limited, received = self._limited(receive)
                group.start_soon(_stop_if_disconnected, receive, received, sent, gone, group.cancel_scope)
                try:
                    self._admit(scope, client)
                    await self.app(scope, limited, answer)
                except RequestError as error:
                    await error_response(error)(scope, receive, answer)
                except ClientDisconnect:
                    gone.set()
                except Exception as error:
                    # log only the stack frames, because the exception message may contain request data
                    frames = traceback.extract_tb(error.__traceback__)[-5:]
                    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
                    LOG.error("%s in %s", type(error).__name__, places)
                    if not status:
                        await error_response(RequestError(500, INTERNAL_ERROR))(scope, receive, answer)
                group.cancel_scope.cancel()
        finally:
            self._active[client] -= 1
            if not self._active[client]:
                del self._active[client]
            route = getattr(scope.get("route"), "path", "-")
            took = (time.perf_counter() - start) * 1000
            LOG.info("%s %s %d %.0f ms", scope["method"], route, _DISCONNECTED if gone.is_set() else status, took)

    def _admit(self, scope: Scope, client: str) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        if path == HEALTH:
            return
        self._check_site(scope["method"], headers)
        if self._active.total() > self.limits.waiting or self._active[client] > max(self.limits.waiting // 2, 1):
            raise RequestError(
                503, Problem("service", "load", "is handling the maximum number of requests", "Try again later")
            )
        if self._expected is not None and path not in OPEN and not path.startswith(ASSETS):
            given = headers.get(b"authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                what = "is wrong" if given else "is missing"
                raise RequestError(
                    401, Problem("request", "token", what, "Send the header 'Authorization: Bearer TOKEN'")
                )
        stated = headers.get(b"content-length", "0")
        if stated.isdigit() and int(stated[:20]) > self.limits.size:
            raise self._too_large()

    def _check_site(self, method: str, headers: dict[bytes, str]) -> None:
        """Refuse requests with an unknown host name, and requests from other sites except GET, HEAD and OPTIONS."""
        host = headers.get(b"host", "")
        if not self.hosts.accepts(host):
            remedy = "Use the address of the service, or start it with --allow-host NAME"
            raise RequestError(403, Problem("request", "host", "is not a name of this service", remedy))
        if method in _READ_ONLY:
            return
        origin = headers.get(b"origin")
        if origin is None:
            other = headers.get(b"sec-fetch-site") == "cross-site"
        else:
            other = not self.hosts.accepts_origin(origin, host)
        if other:
            remedy = "Use the page of the service, or start the service with --allow-host NAME"
            raise RequestError(403, Problem("request", "origin", "is a page of another site", remedy))

    def _limited(self, receive: Receive) -> tuple[Receive, anyio.Event]:
        """Return a function that receives the body within the limits, and an event that is set after its last part."""
        loop = asyncio.get_running_loop()
        size, until, complete = 0, loop.time() + self.limits.seconds, anyio.Event()

        async def limited() -> Message:
            nonlocal size
            if complete.is_set():
                # the watching task receives the disconnect message and cancels this one
                await anyio.sleep_forever()
            try:
                message = await asyncio.wait_for(receive(), until - loop.time())
            except TimeoutError:
                what = f"has not arrived within {self.limits.seconds:g} s"
                raise RequestError(408, Problem("request", "body", what, "Send a smaller recording")) from None
            if message["type"] == "http.disconnect":
                return message
            size += len(message.get("body", b""))
            if size > self.limits.size:
                raise self._too_large()
            if not message.get("more_body", False):
                complete.set()
            return message

        return limited, complete

    def _too_large(self) -> RequestError:
        what = f"is larger than the limit of {self.limits.size / (1 << 20):g} MiB"
        return RequestError(
            413, Problem("request", "body", what, "Send one recording at a time, or use 'ecgssl predict'")
        )


async def _stop_if_disconnected(
    receive: Receive, received: anyio.Event, sent: anyio.Event, gone: threading.Event, scope: anyio.CancelScope
) -> None:
    """Cancel a request if the client disconnects after its body is received and before the response is sent."""
    await received.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
    # a server reports a disconnection after a complete response too
    if not sent.is_set():
        gone.set()
        scope.cancel()


def error_response(error: RequestError) -> JSONResponse:
    """Return the HTTP response for an error."""
    # close the connection after 408, 413 and 503, because the body may not have been read completely
    headers = {
        401: {"www-authenticate": "Bearer"},
        408: {"connection": "close"},
        413: {"connection": "close"},
        503: {"retry-after": "1", "connection": "close"},
    }
    return JSONResponse(error_body(error), error.status, headers.get(error.status, {}))
