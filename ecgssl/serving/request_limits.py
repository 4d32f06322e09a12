"""Request limits, the exception for rejected requests, and the request log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ecgssl.errors import InputError, Problem

LOG = logging.getLogger("ecgssl.serve")
"""Request log with method, route, status and duration of each request.

It also contains type and stack frames of unexpected exceptions, but no paths, file names or error messages.
"""


@dataclass(frozen=True)
class RequestLimits:
    """Limits of size, duration and number of requests.

    Args:
        size: maximum size of a request body in bytes.
        seconds: time limit in s. It applies separately to receiving the body and to reading the recording.
        waiting: maximum number of simultaneous requests; further requests get status 503.
    """

    size: int = 32 << 20
    seconds: float = 30.0
    waiting: int = 256


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
