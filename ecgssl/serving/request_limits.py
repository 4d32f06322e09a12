"""What a request may cost, and where it is logged."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ecgssl.errors import InputError, Problem

LOG = logging.getLogger("ecgssl.serve")
"""One line per request: method, route, status, time. Never a path as it was sent, a file's name or an error's message."""


@dataclass(frozen=True)
class RequestLimits:
    """What a request may cost.

    Args:
        size: bytes of a request's body.
        seconds: for a request to arrive, and again for it to be answered.
        waiting: requests at a time; more are turned away.
    """

    size: int = 32 << 20
    seconds: float = 30.0
    waiting: int = 256


class RequestError(InputError):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 or more.
        problems: what is wrong; free of names of files and people.
        reasons: reason codes of a recording that breaks the contract.
    """

    def __init__(self, status: int, problems: Problem | list[Problem], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(problems)
        self.status, self.reasons = status, reasons
