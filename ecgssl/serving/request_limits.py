"""What a request may cost, and where it is logged."""

from __future__ import annotations

import logging
from dataclasses import dataclass

LOG = logging.getLogger("ecgssl.serve")
"""One line per request: method, route, status, time. Never a path as it was sent, a file's name or an error's message."""


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Args:
        size: bytes of a request's body.
        seconds: for a request to arrive, and again for it to be answered.
        waiting: requests at a time; more are turned away.
    """

    size: int = 32 << 20
    seconds: float = 30.0
    waiting: int = 256
