"""Limits of a request, the error for a rejected request, and the request log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ecgssl.errors import InputError, Problem

LOG = logging.getLogger("ecgssl.serve")
"""Request log, one line per request: method, route, status, time. It contains no paths, file names or error messages."""


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request.

    Args:
        size: largest body in bytes.
        seconds: time limit in s for receiving a request, and again for reading the recording.
        waiting: largest number of simultaneous requests; further requests get status 503.
    """

    size: int = 32 << 20
    seconds: float = 30.0
    waiting: int = 256


class RequestError(InputError):
    """Error for a rejected request.

    Args:
        status: HTTP status, 400 or more.
        problems: reasons, without names of files or people.
        reasons: reason codes of a recording that preprocessing rejects.
    """

    def __init__(self, status: int, problems: Problem | list[Problem], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(problems)
        self.status, self.reasons = status, reasons
