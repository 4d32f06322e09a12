"""Limits of a connection: time to send the headers, time to accept a response, and number of open connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ecgssl.serving.request_limits import RequestLimits


def limited_protocol(limits: RequestLimits) -> type[H11Protocol]:
    """Return a subclass of uvicorn's HTTP protocol that limits each connection.

    uvicorn waits without a limit for the headers of a request and for a client that does not accept its response. h11
    limits the size of the headers to 64 KiB.

    Args:
        limits: limits; ``header_seconds``, ``seconds`` and ``connections`` are used.
    """

    class LimitedProtocol(H11Protocol):
        """Connection that is closed if the client is too slow, or if it is idle when there are too many connections."""

        idle_timer: asyncio.TimerHandle | None = None
        write_timer: asyncio.TimerHandle | None = None
        since = 0.0

        @property
        def busy(self) -> bool:
            """Whether a request is being handled."""
            return self.cycle is not None and not self.cycle.response_complete

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.since = self.loop.time()
            if len(self.connections) > limits.connections:
                idle = [one for one in self.connections if isinstance(one, LimitedProtocol) and not one.busy]
                min(idle, key=lambda one: one.since).transport.abort()
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            self.since = self.loop.time()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel("idle_timer")
            self._cancel("write_timer")
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self.write_timer = self.loop.call_later(limits.seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._cancel("write_timer")
            super().resume_writing()

        def _watch(self) -> None:
            # further bytes do not restart the timer, so the complete headers must arrive in time
            if self.busy:
                self._cancel("idle_timer")
            elif self.idle_timer is None:
                self.idle_timer = self.loop.call_later(limits.header_seconds, self._close_if_idle)

        def _close_if_idle(self) -> None:
            self.idle_timer = None
            if not self.busy:
                self.transport.abort()

        def _cancel(self, name: str) -> None:
            timer = getattr(self, name)
            if timer is not None:
                timer.cancel()
                setattr(self, name, None)

    return LimitedProtocol
