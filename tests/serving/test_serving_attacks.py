"""Requests that would occupy the service, and clients that disconnect, are too slow or belong to another site."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from deploy_models import SPEC, beats
from plain_bundle import plain_bundle
from served import listening

from ecgssl.config import QualityParams
from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle import load_bundle
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected
from ecgssl.serving import read_upload
from ecgssl.serving.app import create_app
from ecgssl.serving.read_upload import ReadJob, read_job
from ecgssl.serving.reader_pool import ReaderPool
from ecgssl.serving.request_body import SentBody, parse_body
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.serving.service import Service
from ecgssl.serving.temporary_folder import private_folder
from ecgssl.signal.leads import LEADS


class SlowModel:
    """Service whose model needs 20 ms per window and whose recordings have 500 windows, or 1 for a short body."""

    def __init__(self, folder: Path) -> None:
        self.readers = SimpleNamespace(root=folder)
        self.ran = 0
        self.gone: list[threading.Event] = []

    def require(self, windows: str, output: str) -> None:
        pass

    def read(self, job: ReadJob, seconds: float, gone: threading.Event) -> int:
        assert isinstance(job.source, SentBody)
        self.gone.append(gone)
        return 500 if job.source.path.stat().st_size > 100 else 1

    def parts(self, read: int) -> list[slice]:
        return [slice(i, i + 1) for i in range(read)]

    def run(self, read: int, part: slice, output: str) -> np.ndarray:
        time.sleep(0.02)
        self.ran += 1
        return np.zeros((1, 2), np.float32)

    def explain(self, read: int, target: str, seconds: float, gone: threading.Event, narrow: bool) -> dict[str, Any]:
        self.limit = seconds
        while not gone.is_set():
            time.sleep(0.02)
            self.ran += 1
        raise RequestError(499, Problem("request", "client", "disconnected", ""))

    def embed(self, read: int, embedding: np.ndarray) -> dict[str, Any]:
        recording = {
            "sampling_rate": 500, "duration": 10, "recorded_seconds": 10, "leads": [], "heart_rate": None, "windows": read,
            "windows_rejected": 0, "findings": [],
        }  # fmt: skip
        return {"model": "", "fingerprint": "", "recording": recording, "notice": "", "embedding": embedding.tolist()}


@contextmanager
def running(folder: Path, **limits: Any) -> Iterator[SimpleNamespace]:
    service = SlowModel(folder)
    given = RequestLimits(**limits)
    with listening(create_app(service, given, readers=2), given) as address:
        yield SimpleNamespace(address=address, service=service, folder=folder)


def post(address: str, body: bytes = b"{}", path: str = "/embed", **headers: str) -> requests.Response:
    headers = {"content-type": "application/json", **headers}
    return requests.post(f"{address}{path}", data=body, headers=headers, timeout=60)


def connect(address: str, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    place = urlsplit(address)
    line = socket.create_connection((place.hostname, place.port), timeout=20, source_address=(source, 0))
    line.sendall(sent)
    return line


def raw_post(size: int, path: str = "/embed") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    return head.encode() + b"x" * size


def test_long_request_does_not_block_others_and_ends_with_its_client(tmp_path):
    with running(tmp_path) as server:
        line = connect(server.address, raw_post(200), "127.0.0.2")
        while server.service.ran < 3:
            time.sleep(0.01)
        start = time.monotonic()
        assert post(server.address).status_code == 200
        assert requests.get(f"{server.address}/health", timeout=60).status_code == 200
        assert time.monotonic() - start < 5, "500 windows take 10 s"
        assert server.service.ran < 400
        line.close()
        assert server.service.gone[0].wait(20)
        time.sleep(0.1)
        ran = server.service.ran
        time.sleep(0.3)
        assert server.service.ran == ran
        assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_model_time_is_limited(tmp_path):
    with running(tmp_path, model_seconds=0.1) as server:
        answer = post(server.address, b"x" * 200)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "time")
        assert "needs more than 0.1 s of the model" in answer.text
        assert server.service.ran < 500


def test_an_explanation_ends_with_its_client(tmp_path):
    with running(tmp_path, model_seconds=7) as server:
        line = connect(server.address, raw_post(2, "/explain?target=AF"))
        while server.service.ran < 3:
            time.sleep(0.01)
        line.close()
        assert server.service.gone[0].wait(20)
        time.sleep(0.1)
        ran = server.service.ran
        time.sleep(0.2)
        assert (server.service.ran, server.service.limit) == (ran, 7)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return plain_bundle(tmp_path_factory.mktemp("explained"))


class CountedModel:
    """Classifier of a bundle that counts its passes and runs a function after each of them."""

    def __init__(self, path: Path, folder: Path, after: Callable[[int], None]) -> None:
        bundle = load_bundle(path)
        self.service, self.passes = Service(bundle, SimpleNamespace(root=folder)), 0
        forward = bundle.model.forward

        def counted(*arguments: Any) -> Any:
            self.passes += 1
            found = forward(*arguments)
            after(self.passes)
            return found

        bundle.model.forward = counted
        recording = Recording((beats(0, 250, 10) / 1000).astype(np.float32), 250.0, LEADS, "")
        settings = bundle.spec, bundle.quality, bundle.lsb, RequestLimits()
        self.read = read_job(ReadJob(recording, "contract"), folder, *settings)


@pytest.mark.parametrize("ended", [1, 3])
def test_an_explanation_stops_between_passes(tmp_path, bundle, ended):
    # output and baseline need one pass each, and 32 points two passes of 16
    gone = threading.Event()
    model = CountedModel(bundle, tmp_path, lambda passes: gone.set() if passes == ended else None)
    with pytest.raises(RequestError) as caught:
        model.service.explain(model.read, "NORM", 60, gone)
    assert (caught.value.status, model.passes) == (499, ended)


def test_the_time_of_an_explanation_is_limited(tmp_path, bundle):
    model = CountedModel(bundle, tmp_path, lambda passes: time.sleep(0.06))
    with pytest.raises(RequestError, match=r"needs more than 0\.1 s of the model") as caught:
        model.service.explain(model.read, "NORM", 0.1)
    assert (caught.value.status, caught.value.problems[0].field, model.passes) == (422, "time", 2)
    assert model.service.explain(model.read, "NORM", 60)["method"] == "integrated_gradients"


def test_a_reader_refuses_what_needs_more_memory_and_continues(tmp_path, monkeypatch):
    def fail() -> None:
        raise OSError("a second process is not needed")

    limits = RequestLimits(memory=16 << 20)
    readers = ReaderPool(1, tmp_path, SPEC, QualityParams(), 0.001, limits)
    try:
        # 12 x 400,000 samples of 2 bytes become 19 MB of float32
        large = io.BytesIO()
        np.save(large, np.zeros((12, 400_000), np.int16))
        body = form(tmp_path, "a.npy", large.getvalue(), sampling_rate="500", unit="uV")
        with pytest.raises(RequestError, match="needs more than 16 MiB of memory") as caught:
            readers.submit(ReadJob(body, "contract"), 60)
        assert (caught.value.status, caught.value.problems[0].field) == (422, "memory")
        recording = Recording((beats(0, 250, 10) / 1000).astype(np.float32), 250.0, LEADS, "")
        assert readers.submit(ReadJob(recording, "contract"), 60).duration == 10
        assert [path.name for path in tmp_path.glob("reader-*")] == ["reader-1"], "the process was not replaced"
        monkeypatch.setattr(readers, "_start", fail)
        # the JSON parser ends its process if it gets no memory: 1,500,000 number objects of 24 bytes
        body = sent(tmp_path, {**ROWS, "signal": [[0.1] * 500_000] * 3})
        with pytest.raises(RequestError, match=r"crashed the process .* or needs more than 16 MiB of memory") as caught:
            readers.submit(ReadJob(body, "contract"), 60)
        assert caught.value.status == 422
    finally:
        readers.close()


def test_slow_headers_and_idle_connections_are_closed(tmp_path):
    with running(tmp_path, header_seconds=0.3) as server:
        for sent in (
            b"",
            b"GET /health HTTP/1.1\r\nHost: loc",
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /",
        ):
            with connect(server.address, sent) as line:
                received = b""
                try:
                    while part := line.recv(4096):
                        received += part
                except ConnectionResetError:
                    pass
                assert (b"200 OK" in received) is (b"\r\n\r\n" in sent)


def test_health_is_answered_with_many_idle_connections_and_requests(tmp_path):
    with running(tmp_path, connections=4, waiting=2, header_seconds=60) as server:
        lines = [connect(server.address, b"GET / HTTP/1.1\r\n") for _ in range(8)]
        long = [connect(server.address, raw_post(200), f"127.0.0.{i}") for i in (2, 3)]
        while len(server.service.gone) < 2:
            time.sleep(0.01)
        assert post(server.address).status_code == 503
        assert requests.get(f"{server.address}/health", timeout=20).json() == {"status": "ok"}
        for line in [*lines, *long]:
            line.close()


def test_one_client_cannot_use_the_space_of_all_bodies(tmp_path):
    with running(tmp_path, total=1000) as server:
        answer = post(server.address, b"x" * 600)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (503, "load")
        assert post(server.address, b"x" * 50).status_code == 200


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"host": "attacker.example"}, "host"),
        ({"host": "127.0.0.1.nip.example:80"}, "host"),
        ({"origin": "https://attacker.example"}, "origin"),
        ({"origin": "null"}, "origin"),
        ({"sec-fetch-site": "cross-site"}, "origin"),
    ],
)
def test_requests_of_other_sites_are_refused(tmp_path, headers, field):
    with running(tmp_path) as server:
        answer = post(server.address, **headers)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (403, field)
        assert server.service.gone == []
        assert post(server.address, origin=server.address).status_code == 200


def test_health_needs_no_host_name(tmp_path):
    with running(tmp_path) as server:
        answer = requests.get(f"{server.address}/health", headers={"host": "probe"}, timeout=20)
        assert answer.status_code == 200


def sent(folder: Path, body: Any) -> SentBody:
    path = folder / "body"
    path.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return SentBody(path, "application/json")


def test_json_with_too_many_values_is_refused_before_it_is_parsed(tmp_path):
    # not JSON, so parsing it would give another error
    with pytest.raises(RequestError, match="more than 1000 values") as caught:
        parse_body(sent(tmp_path, b"1," * 1000), RequestLimits(values=1000))
    assert caught.value.status == 413


ROWS = {"signal": [[0.1, 0.2]] * 3, "sampling_rate": 500, "leads": ["I", "II", "V1"]}


@pytest.mark.parametrize(
    ("change", "reasons", "message"),
    [
        ({"leads": ["I", "MDC_ECG_LEAD_I", "V1"]}, ("duplicate_lead",), "has I more than once"),
        ({"leads": ["aVR", "AVR", "avr"]}, ("duplicate_lead",), "has aVR more than once"),
        ({"sampling_rate": 1e-300}, ("rate",), "is 1e-300, not between"),
        ({"leads": ["I", "vx", "resp"]}, ("leads",), "unknown names: 'vx', 'resp'"),
    ],
)
def test_json_names_and_rates_are_refused_with_a_reason(tmp_path, change, reasons, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse_body(sent(tmp_path, ROWS | change), RequestLimits())
    assert (caught.value.status, caught.value.reasons) == (422, reasons)


@pytest.mark.parametrize(
    ("change", "reasons", "fields"),
    [
        ({"leads": ["I", "Q", "V1"], "sampling_rate": "fast"}, ("leads",), ["sampling_rate", "leads"]),
        ({"leads": ["I", "Q", "Q2", "I"], "sampling_rate": 0.5}, ("leads", "duplicate_lead", "rate"), None),
        ({"leads": ["I", "Q"], "signal": [[0.1], [0.1, 0.2]], "unit": "mV"}, ("leads",), ["unit", "signal", "leads"]),
        ({"leads": "I,II", "sampling_rate": 0.5}, ("rate",), ["leads", "sampling_rate"]),
        ({"leads": ["Q"], "signal": [["a"]]}, ("leads",), ["signal.0", "leads"]),
    ],
)
def test_json_problems_of_all_fields_are_reported_together(tmp_path, change, reasons, fields):
    with pytest.raises(RequestError) as caught:
        parse_body(sent(tmp_path, ROWS | change), RequestLimits())
    assert (caught.value.status, caught.value.reasons) == (422, reasons)
    fields = fields or ["leads", "leads", "leads", "sampling_rate"]
    assert [problem.field for problem in caught.value.problems] == fields


def test_only_rejections_of_files_speak_of_a_file(tmp_path):
    settings = (tmp_path, SPEC, QualityParams(), 0.001, RequestLimits())
    other = tmp_path / "json"
    other.mkdir()
    file = form(tmp_path, "a.csv", b"I,II\n0,0\n")
    for source, remedy in (
        (file, "Fix the file, or use another recording"),
        (sent(other, ROWS), "Correct the signal, or use another recording"),
    ):
        with pytest.raises(RequestError) as caught:
            read_job(ReadJob(source, "contract"), *settings)
        assert [problem.remedy for problem in caught.value.problems] == [remedy]


def form(folder: Path, name: str, content: bytes = b"x", **fields: str) -> SentBody:
    request = requests.Request("POST", "http://localhost", files={"files": (name, content)}, data=fields).prepare()
    path = folder / "body"
    path.write_bytes(request.body)
    return SentBody(path, request.headers["content-type"])


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("x" * 252 + ".csv", {}, "longer than 255 bytes"),
        ("\u00e4" * 126 + ".csv", {}, "longer than 255 bytes"),
        ("a.csv", {"sampling_rate": "1e-300"}, "is not a number from 1 to 100000"),
        ("a.csv", {"leads": "I,II,lead i"}, "has I more than once"),
    ],
)
def test_form_fields_are_refused(tmp_path, name, fields, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse_body(form(tmp_path, name, **fields), RequestLimits())
    assert caught.value.status == 422


def test_file_names_up_to_255_bytes_are_read(tmp_path):
    name = "\u00e4" * 125 + ".csv"
    (file,) = parse_body(form(tmp_path, name), RequestLimits()).files
    with pytest.raises(RequestError) as caught:
        read_job(ReadJob(form(tmp_path, name), "contract"), tmp_path, SPEC, QualityParams(), 0.001, RequestLimits())
    assert file == (name, b"x")
    assert caught.value.reasons == ("format",)


def test_recordings_with_too_many_windows_are_refused(tmp_path):
    recording = Recording((beats(0, 250, 31) / 1000).astype(np.float32), 250.0, LEADS, "")
    settings = (tmp_path, SPEC, QualityParams(), 0.001, RequestLimits(windows=2))
    with pytest.raises(RequestError, match="has 3 windows; the limit is 2"):
        read_job(ReadJob(recording, "mean"), *settings)
    assert read_job(ReadJob(recording, "contract"), *settings).prepared.row["windows"] == 1


@pytest.mark.parametrize(
    ("error", "field", "what"),
    [
        (Rejected("quality of the raw signal", "flat", "V1: flat for 3 s: 9 leads"), "quality of the raw signal", None),
        (Rejected("read", "unit", "lead a: b: is not a voltage", field="lead a: b"), "lead a: b", "is not a voltage"),
    ],
)
def test_messages_with_colons_are_complete(tmp_path, monkeypatch, error, field, what):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(read_upload, "prepare_recording", fail)
    recording = Recording(np.zeros((1, 10), np.float32), 500.0, ("I",), "")
    with pytest.raises(RequestError) as caught:
        read_job(ReadJob(recording, "contract"), tmp_path, SPEC, QualityParams(), 0.001, RequestLimits())
    (problem,) = caught.value.problems
    assert (problem.field, problem.what) == (field, what or error.detail)


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_temporary_folder_that_cannot_be_used_is_an_error(tmp_path, monkeypatch, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("")
    monkeypatch.setenv("TMPDIR", str(place))
    with pytest.raises(InputError, match=r"TMPDIR=.*cannot be used for temporary files"), private_folder():
        pass
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setenv("TMP", str(tmp_path))
    monkeypatch.delenv("TEMP", raising=False)
    with private_folder() as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize("name", ["a.hea", "table.csv", "table.parquet", "rec.xml"])
def test_pipes_among_inputs_are_refused(tmp_path, name):
    from ecgssl.datasets.table.read_table import read_table
    from ecgssl.errors import RecordingError
    from ecgssl.io import read
    from ecgssl.io.listing import find_recordings

    os.mkfifo(tmp_path / name)
    with pytest.raises(RecordingError, match="not a regular file"):
        read(tmp_path / name)
    with pytest.raises(InputError, match="not a regular file"):
        read_table(tmp_path / name)
    assert find_recordings(tmp_path).recordings in ((), (str(tmp_path / name),))
