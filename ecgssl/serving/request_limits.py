"""Request limits, the exception for rejected requests, and the request log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgssl.errors import InputError, Problem

LOG = logging.getLogger("ecgssl.serve")
"""Request log with method, route, status and duration of each request.

For unexpected exceptions, it also contains the type, and the function names and line numbers of the stack. It contains no
paths of files or requests, file names or error messages.
"""


@dataclass(frozen=True)
class RequestLimits:
    """Limits of size, duration and number of requests.

    Args:
        size: maximum size of a request body in bytes.
        seconds: time limit in s. It applies separately to receiving the body, to waiting for a free process or for the
            model, to reading the recording, and to a client that does not accept its response.
        waiting: maximum number of simultaneous requests; further requests get status 503, except ``/health``. One client
            may use half of it.
        total: maximum size in bytes of all bodies that are being received or read.
        windows: maximum number of windows of a recording. A recording with more windows is rejected, unless only one window
            is scored.
        model_seconds: time limit in s for running the model on one recording, or for explaining one target. A pass through
            the model that has started is completed.
        values: maximum number of values in a JSON body.
        memory: maximum memory in bytes that a reader process may use for a recording.
        header_seconds: time limit in s for receiving the headers of a request.
        connections: maximum number of open connections. If there are more, the one that has been idle for longest is closed.
    """

    size: int = 32 << 20
    seconds: float = 30.0
    waiting: int = 256
    total: int = 256 << 20
    windows: int = 180
    model_seconds: float = 30.0
    values: int = 4 << 20
    memory: int = 2 << 30
    header_seconds: float = 10.0
    connections: int = 512


class RequestError(InputError):
    """Exception for a rejected request.

    Args:
        status: HTTP status, 400 or higher.
        problems: problems with the request, without names of files or people.
        reasons: reason codes, if preprocessing rejected the recording.
    """

    def __init__(self, status: int, problems: Problem | list[Problem], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(problems)
        self.status, self.reasons = status, reasons

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, list(self.problems), self.reasons)


def client_of(scope: Mapping[str, Any]) -> str:
    """Return the address of the client of an ASGI scope; an empty string if it is unknown."""
    client = scope.get("client")
    return str(client[0]) if client else ""
