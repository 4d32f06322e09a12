"""Answers of a release server that are wrong or cut off while sizes are requested."""

from __future__ import annotations

import pytest
import requests
from urllib3.exceptions import ProtocolError
from urllib3.response import HTTPResponse

from ecgssl.datasets.download.session import ReleaseSession, _BoundedRetry


@pytest.mark.parametrize(
    ("value", "expected"),
    [("²", None), ("soon", None), ("1e3", None), ("7", 7), ("9" * 400, 300), ("-5", None), ("", None)],
)
def test_retry_after_that_is_no_number_is_ignored(value, expected):
    assert _BoundedRetry(total=1).get_retry_after(HTTPResponse(headers={"Retry-After": value})) == expected


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("dropped"), ProtocolError("dropped"), ConnectionResetError(), requests.Timeout()]
)
def test_a_dropped_head_request_gives_an_unknown_size(monkeypatch, error):
    session = ReleaseSession("http://127.0.0.1:9/", attempts=1)

    def drop(*_, **__):
        raise error

    monkeypatch.setattr(session._session, "request", drop)
    assert session.size("http://127.0.0.1:9/a.zip") is None


@pytest.mark.parametrize("length", ["²", "", "many"])
def test_a_length_that_is_no_number_is_unknown(monkeypatch, length):
    session = ReleaseSession("http://127.0.0.1:9/")
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Length"] = length
    answer.raw = HTTPResponse()
    monkeypatch.setattr(session._session, "request", lambda *_, **__: answer)
    assert session.size("http://127.0.0.1:9/a.zip") is None
