"""Request bodies that are received into private files, so that the memory of the service does not depend on their size."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from ecgssl.errors import Problem
from ecgssl.serving.request_body import KINDS, SentBody, content_kind
from ecgssl.serving.request_limits import RequestError, client_of


class BodyStore:
    """Private folder with the bodies of current requests.

    Args:
        folder: private folder; a body is removed from it when the block of ``receive`` ends.
        total: maximum size in bytes of all bodies together. One client may use half of it.
    """

    def __init__(self, folder: Path, total: int) -> None:
        self._folder, self._total = folder, total
        self._held: Counter[str] = Counter()
        self._numbers = itertools.count()

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[SentBody]:
        """Receive a body into a file, which exists during the block.

        Raises:
            RequestError: the content type is not supported (415), or there is no space for the body (503).
        """
        content_type = request.headers.get("content-type", "")
        kind = content_kind(content_type)
        if kind not in KINDS:
            what = f"is {kind or 'missing'}"[:80]
            remedy = "Send multipart/form-data with files, or application/json"
            raise RequestError(415, Problem("request", "content-type", what, remedy))
        client, sizes = client_of(request.scope), list[int]()
        path = self._folder / f"body-{next(self._numbers)}"
        try:
            await self._write(request, path, client, sizes)
            yield SentBody(path, content_type)
        finally:
            path.unlink(missing_ok=True)
            self._held[client] -= sum(sizes)
            if not self._held[client]:
                del self._held[client]

    async def _write(self, request: Request, path: Path, client: str, sizes: list[int]) -> None:
        """Write the body to a file, and append the size of each part to ``sizes``."""
        try:
            with path.open("xb") as file:
                async for chunk in request.stream():
                    sizes.append(len(chunk))
                    self._held[client] += len(chunk)
                    if self._held[client] > self._total // 2 or self._held.total() > self._total:
                        what = "has reached the maximum size of all bodies"
                        raise RequestError(503, Problem("service", "load", what, "Try again later"))
                    file.write(chunk)
        except OSError as error:
            what = f"cannot store the body ({error.strerror})"
            raise RequestError(
                503, Problem("service", "storage", what, "Free space in TMPDIR of the service")
            ) from None
