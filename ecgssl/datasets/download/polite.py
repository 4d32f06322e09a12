"""HTTP as a server would like it: few connections, one name, waiting when told to, never led away to another host."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    import requests

_RETRY = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 300.0
_REDIRECTS = 5
_TIMEOUT = (15.0, 60.0)
BLOCK = 1 << 16
"""Bytes read at a time; what a broken connection had sent of the last block is lost."""


class Refused(Exception):
    """A file that cannot be had; ``str`` says why, for people."""


class Again(Exception):
    """An attempt that failed in a way that may pass.

    Args:
        why: for people.
        wait: seconds that the server asks for, if it does.
    """

    def __init__(self, why: str, wait: float | None) -> None:
        super().__init__(why)
        self.wait = wait


class Polite:
    """A session with one host.

    Args:
        base_url: whose host may be talked to, and no other; redirects elsewhere are refused, as is a step from https to
            http.
        hosts: further hosts that may serve files.
        attempts: how often a request is made before it counts as failed.
        sleep: waits that many seconds; a test passes its own.
        seed: of the jitter that keeps parallel requests from retrying together.
    """

    def __init__(
        self,
        base_url: str,
        hosts: tuple[str, ...] = (),
        attempts: int = 6,
        sleep: Callable[[float], None] = time.sleep,
        seed: int = 0,
    ) -> None:
        from ecgssl.version import __version__

        if urlsplit(base_url).scheme not in ("http", "https"):
            raise InputError(Problem("--base-url", base_url, "is no http(s) address", "Name the folder of the release"))
        self._origin = urlsplit(base_url)
        self._hosts = {self._origin.netloc, *hosts}
        self._attempts, self._sleep, self._random = attempts, sleep, random.Random(seed)
        # a compressed answer has another length than the file
        self._headers = {"User-Agent": f"ecgssl/{__version__} (resumable)", "Accept-Encoding": "identity"}
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def text(self, url: str, largest: int) -> str:
        """A small text file.

        Raises:
            InputError: where it cannot be had, is no UTF-8, or is larger than ``largest`` bytes.
        """
        try:
            return self.retrying(lambda: self._body(url, largest)).decode("utf-8")
        except (Refused, UnicodeDecodeError) as error:
            remedy = "Check the address and the network, or name a mirror with --base-url"
            raise InputError(Problem(url, "list of files", str(error)[:200], remedy)) from None

    def json(self, url: str) -> Any:
        """A JSON document; raises as ``text``."""
        import json

        try:
            return json.loads(self.text(url, 1 << 26))
        except ValueError:
            raise InputError(Problem(url, "list of files", "is no JSON", "Check the address")) from None

    def size(self, url: str) -> int | None:
        """Bytes that the server announces, or ``None`` where it does not say."""
        try:
            with self._open(url, {}, method="HEAD") as answer:
                length = answer.headers.get("Content-Length", "")
                return int(length) if answer.status_code == 200 and length.isdigit() else None
        except (Refused, Again):
            return None

    @contextmanager
    def stream(self, url: str, start: int = 0) -> Iterator[requests.Response]:
        """An answer of status 200 (the whole file), 206 (from byte ``start`` on) or 416 (there is nothing from there on).

        Raises:
            Refused: for good.
            Again: worth another attempt; ``retrying`` makes it.
        """
        with self._open(url, {"Range": f"bytes={start}-"} if start else {}) as answer:
            if answer.status_code not in (200, 206, 416):
                raise self._verdict(answer)
            yield answer

    def retrying(self, call: Callable[[], Any], reached: Callable[[], int] = lambda: 0) -> Any:
        """The result of ``call``, made again after a pause where it asks for that or the connection broke.

        Args:
            call: one attempt.
            reached: how far the work has come; attempts that get further are not held against it.

        Raises:
            Refused: where it is refused, or fails ``attempts`` times without getting further.
        """
        import requests

        attempt, best = 0, reached()
        while True:
            attempt += 1
            try:
                return call()
            except Again as again:
                wait, why = again.wait, str(again)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                wait, why = None, f"the connection broke ({type(error).__name__})"
            if reached() > best:
                attempt, best = 1, reached()
            if attempt >= self._attempts:
                raise Refused(f"{why}, {self._attempts} times")
            backoff = min(2.0**attempt, 60.0) * self._random.uniform(0.5, 1.0)
            self._sleep(min(max(wait or 0.0, backoff), _LONGEST_WAIT))

    def close(self) -> None:
        """Give the connections back."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        # a session belongs to one thread
        if not hasattr(self._local, "session"):
            import requests

            self._local.session = requests.Session()
            self._local.session.headers.update(self._headers)
            self._sessions.append(self._local.session)
        session: requests.Session = self._local.session
        return session

    def _body(self, url: str, largest: int) -> bytes:
        with self.stream(url) as answer:
            body = bytearray()
            for block in answer.iter_content(BLOCK):
                body += block
                if len(body) > largest:
                    raise Refused(f"is larger than {largest} bytes")
            announced = answer.headers.get("Content-Length", "")
            if announced.isdigit() and len(body) != int(announced):
                raise Again("the answer ended early", None)
            return bytes(body)

    @contextmanager
    def _open(self, url: str, headers: dict[str, str], method: str = "GET") -> Iterator[requests.Response]:
        for _ in range(_REDIRECTS):
            parts = urlsplit(url)
            if parts.netloc not in self._hosts or (self._origin.scheme == "https" and parts.scheme != "https"):
                raise Refused(f"leads to {parts.scheme}://{parts.netloc}, outside of {self._origin.netloc}")
            answer = self._session().request(
                method, url, headers=headers, stream=True, allow_redirects=False, timeout=_TIMEOUT
            )
            if answer.is_redirect:
                url = urljoin(url, answer.headers["Location"])
                answer.close()
                continue
            with answer:
                yield answer
            return
        raise Refused(f"more than {_REDIRECTS} redirects")

    def _verdict(self, answer: requests.Response) -> Exception:
        status = answer.status_code
        if status in _RETRY:
            return Again(f"the server answered {status}", _retry_after(answer.headers.get("Retry-After")))
        what = {401: "needs an account", 403: "is forbidden: it may need an account", 404: "is not there"}
        return Refused(f"{what.get(status, 'was refused')} (status {status})")


def _retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110, 10.2.3): a number, or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
