"""Fair allocation of a limited resource, such as the model, between clients."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ecgssl.errors import Problem
from ecgssl.serving.request_limits import RequestError

_REMEMBERED = 1024
"""Number of clients whose last turn is remembered."""


class _Waiter:
    def __init__(self) -> None:
        self.event, self.granted = anyio.Event(), False


class FairTurns:
    """Slots that are given to waiting clients in turn, and to the requests of one client in the order of arrival.

    A request takes one slot for each step of its work. A long request of one client therefore does not block the
    others: they get a slot after one of its steps. All methods must be called in the same event loop.

    Args:
        slots: number of steps that may run at the same time.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._served: dict[str, int] = {}
        self._turns = itertools.count()

    @asynccontextmanager
    async def turn(self, client: str, seconds: float) -> AsyncIterator[None]:
        """Wait for a slot and hold it during the block.

        Args:
            client: name of the client, usually its address.
            seconds: time limit in s for waiting.

        Raises:
            RequestError: no slot became free within the time limit (status 503).
        """
        await self._enter(client, seconds)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, client: str, seconds: float) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            self._note(client)
            return
        waiter = _Waiter()
        self._waiting.setdefault(client, deque()).append(waiter)
        try:
            with anyio.fail_after(seconds):
                await waiter.event.wait()
        except BaseException as error:
            if waiter.granted:
                # the slot was granted at the same moment, so pass it on
                self._leave()
            else:
                self._remove(client, waiter)
            if isinstance(error, TimeoutError):
                problem = Problem("service", "load", "was busy for too long", "Try again later")
                raise RequestError(503, problem) from None
            raise

    def _remove(self, client: str, waiter: _Waiter) -> None:
        own = self._waiting[client]
        own.remove(waiter)
        if not own:
            del self._waiting[client]

    def _leave(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        # the client that has waited longest since its last turn
        client = min(self._waiting, key=lambda name: self._served.get(name, -1))
        waiter = self._waiting[client][0]
        self._remove(client, waiter)
        self._note(client)
        waiter.granted = True
        waiter.event.set()

    def _note(self, client: str) -> None:
        self._served.pop(client, None)
        self._served[client] = next(self._turns)
        if len(self._served) > _REMEMBERED:
            del self._served[next(iter(self._served))]
