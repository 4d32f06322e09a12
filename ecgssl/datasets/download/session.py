"""HTTP session for downloads from one server, with retries and resumption.

``requests`` and ``urllib3.util.Retry`` handle connections, retries with backoff, ``Retry-After`` and redirects. This module
adds three rules: redirects to other hosts are errors, an interrupted transfer continues where it stopped, and an attempt
that receives data does not count as a failure. The library ``pooch`` does not resume transfers and downloads one file at a
time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from ecgssl.errors import InputError, Problem
from ecgssl.version import __version__

_Result = TypeVar("_Result")
_RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 300.0
_TIMEOUT = (15.0, 60.0)
_MEANING = {401: "needs an account", 403: "is forbidden: it may need an account", 404: "does not exist"}
MOST_CONNECTIONS = 16
BLOCK = 1 << 16
"""Number of bytes read at a time. If the connection breaks, the last incomplete block is lost."""


class Refused(Exception):
    """Raised if a file cannot be downloaded; the message gives the reason."""


class _BoundedRetry(Retry):
    """Retry policy that obeys the ``Retry-After`` header up to a maximum waiting time."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            wait = super().get_retry_after(response)
        except (ValueError, OverflowError, HTTPError):
            # neither a number nor a date: wait as without the header
            return None
        return None if wait is None else min(wait, _LONGEST_WAIT)


class _OneHost(requests.Session):
    """Session that raises ``Refused`` for a redirect to another host or from https to http.

    Args:
        base_url: URL with the accepted scheme and host.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = urlsplit(base_url)

    def require_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc != self._base.netloc or (self._base.scheme == "https" and parts.scheme != "https"):
            raise Refused(f"the server redirects to {parts.scheme}://{parts.netloc}, which is not {self._base.netloc}")

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            self.require_host(urljoin(resp.url, target))
        return target


class ReleaseSession:
    """HTTP session for the files of a release. Several threads may use it.

    Args:
        base_url: URL of the release. Redirects to other hosts or from https to http are refused.
        attempts: number of attempts before a request fails.
    """

    def __init__(self, base_url: str, attempts: int = 6) -> None:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise InputError(
                Problem("--base-url", base_url, "is not an http(s) URL", "Use the URL of the release folder")
            )
        self._attempts = attempts
        self._retry = _BoundedRetry(
            total=attempts - 1,
            backoff_factor=1,
            backoff_jitter=1,
            backoff_max=60,
            status_forcelist=_RETRY_STATUS,
            raise_on_status=False,
        )
        self._session = _OneHost(base_url)
        self._session.max_redirects = 5
        # disable compression, because a compressed response cannot be resumed at a byte position of the file
        self._session.headers.update({"User-Agent": f"ecgssl/{__version__} (resumable)", "Accept-Encoding": "identity"})
        adapter = HTTPAdapter(pool_maxsize=MOST_CONNECTIONS, max_retries=self._retry)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def text(self, url: str, largest: int) -> str:
        """Download a text file, and return its content.

        Raises:
            InputError: the file cannot be downloaded, is not UTF-8, or is larger than ``largest`` bytes.
        """
        try:
            return self.resuming(url, lambda: self._body(url, largest), lambda: 0).decode("utf-8")
        except (Refused, UnicodeDecodeError) as error:
            remedy = "Check the URL and the network connection, or set a mirror with --base-url"
            raise InputError(Problem(url, "list of files", str(error)[:200], remedy)) from None

    def json(self, url: str) -> Any:
        """Download a JSON document, and return the parsed content.

        Raises:
            InputError: the document cannot be downloaded or is not valid JSON.
        """
        try:
            return json.loads(self.text(url, 1 << 26))
        except ValueError:
            raise InputError(Problem(url, "list of files", "is not valid JSON", "Check the URL")) from None

    def size(self, url: str) -> int | None:
        """Return the size of a file in bytes as reported by the server; ``None`` if the request fails or reports no size."""
        try:
            with self._open("HEAD", url, {}) as response:
                length = response.headers.get("Content-Length", "")
                return int(length) if response.status_code == 200 and length.isascii() and length.isdigit() else None
        except (Refused, requests.RequestException, HTTPError, OSError):
            # a missing size is not an error, because sizes are only used for estimates
            return None

    @contextmanager
    def stream(self, url: str, start: int = 0) -> Iterator[requests.Response]:
        """Request a file from byte ``start`` on, and yield the response.

        The status of the response is 200 (whole file), 206 (from ``start`` on) or 416 (the file has no
        bytes from ``start`` on).

        Raises:
            Refused: the status is different, or the server cannot be reached.
        """
        with self._open("GET", url, {"Range": f"bytes={start}-"} if start else {}) as response:
            status = response.status_code
            if status in _RETRY_STATUS:
                raise Refused(f"the server answered {status}, {self._attempts} times")
            if status not in (200, 206, 416):
                raise Refused(f"{_MEANING.get(status, 'was refused')} (status {status})")
            yield response

    def resuming(self, url: str, receive: Callable[[], _Result], reached: Callable[[], int]) -> _Result:
        """Call ``receive`` again after each connection error until a transfer succeeds, and return its result.

        Args:
            url: URL, for messages.
            receive: function that performs one transfer.
            reached: function that returns the number of bytes received so far. If it increases, the number of attempts is
                reset.

        Raises:
            Refused: ``attempts`` transfers in a row break without receiving new data, or ``receive`` raises it.
        """
        retry, best = self._retry, reached()
        while True:
            try:
                return receive()
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if reached() > best:
                    retry, best = self._retry, reached()
                try:
                    retry = retry.increment("GET", url, error=ProtocolError(str(error)))
                except MaxRetryError:
                    broken = f"the connection broke ({type(error).__name__})"
                    raise Refused(f"{broken}, {self._attempts} times") from None
                retry.sleep()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _body(self, url: str, largest: int) -> bytes:
        with self.stream(url) as response:
            body = bytearray()
            for block in response.iter_content(BLOCK):
                body += block
                if len(body) > largest:
                    raise Refused(f"is larger than {largest} bytes")
            return bytes(body)

    @contextmanager
    def _open(self, method: str, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        self._session.require_host(url)
        try:
            response = self._session.request(method, url, headers=headers, stream=True, timeout=_TIMEOUT)
        except requests.TooManyRedirects:
            raise Refused(f"more than {self._session.max_redirects} redirects") from None
        except requests.RequestException as error:
            raise Refused(f"the server cannot be reached ({type(error).__name__}, {self._attempts} attempts)") from None
        with response:
            yield response
