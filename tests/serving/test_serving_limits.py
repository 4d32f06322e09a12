"""Limits, token, errors and leftover files of the HTTP service, with faulty clients and killed processes."""

from __future__ import annotations

import fcntl
import http.client
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import requests
from command_line import ecgssl, refused
from deploy_models import beats
from served import listening
from wfdb_files import write_record

import ecgssl.serving.reader_pool as reader_module
from ecgssl.errors import InputError, Problem
from ecgssl.serving.app import create_app
from ecgssl.serving.read_upload import ReadJob
from ecgssl.serving.reader_pool import ReaderPool
from ecgssl.serving.request_body import SentBody, Upload, parse_body
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.serving.server import serve
from ecgssl.serving.temporary_folder import private_folder

pytestmark = pytest.mark.long

TOKEN = "a-token-of-this-test"


class Stub:
    """Service without a model that waits until released, or fails as configured."""

    def __init__(self, folder: Path) -> None:
        self.readers = SimpleNamespace(root=folder)
        self.go, self.here = threading.Event(), threading.Semaphore(0)
        self.error: Exception | None = None

    def require(self, windows: str, output: str) -> None:
        pass

    def read(self, job: ReadJob, seconds: float, gone: threading.Event | None = None) -> None:
        assert isinstance(job.source, SentBody)
        parse_body(job.source, RequestLimits())
        self.here.release()
        if self.error:
            raise self.error
        assert self.go.wait(60)
        raise RequestError(422, Problem("recording", "test", "ends here", "None"))


@pytest.fixture
def stub(tmp_path):
    yield from _stubbed(tmp_path, 60.0)


@pytest.fixture
def hasty_stub(tmp_path):
    yield from _stubbed(tmp_path, 0.2)


def _stubbed(folder: Path, seconds: float) -> Iterator[SimpleNamespace]:
    service = Stub(folder)
    # one client may use half of the requests
    limits = RequestLimits(size=1000, seconds=seconds, waiting=4, header_seconds=min(seconds, 5.0))
    app = create_app(service, limits, TOKEN, readers=4)
    with listening(app, limits) as address:
        yield SimpleNamespace(address=address, service=service)
        service.go.set()


def post(stub, body: object = b"x", token: str | None = TOKEN, **headers: str) -> requests.Response:
    headers = {"content-type": "application/json", **headers}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return requests.post(f"{stub.address}/predict", data=body, headers=headers, timeout=60)


def status_and_field(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["problems"][0]["field"]


GOOD = b'{"signal": [[1.0, null]], "sampling_rate": 500, "leads": ["I"]}'


@pytest.mark.parametrize("token", [None, "wrong", "", TOKEN + "x", TOKEN.upper()])
def test_without_the_token_there_is_no_answer(stub, token):
    answer = post(stub, GOOD, token)
    assert status_and_field(answer) == (401, "token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert requests.get(f"{stub.address}/model", timeout=60).status_code == 401
    assert requests.get(f"{stub.address}/openapi.json", timeout=60).status_code == 401
    for path in ("/health", "/", "/assets/page.js"):
        assert requests.get(f"{stub.address}{path}", timeout=60).status_code == 200


def test_too_large(stub):
    assert status_and_field(post(stub, b"x" * 1001)) == (413, "body")
    assert status_and_field(post(stub, iter([b"x" * 600] * 3))) == (413, "body"), "chunked, without Content-Length"


def test_too_slow(hasty_stub):
    place = urlsplit(hasty_stub.address)
    with socket.create_connection((place.hostname, place.port), timeout=60) as line:
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        line.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\nhalf".encode())
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert answer.status == 408


def test_too_many(stub):
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(post(stub, GOOD))) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert stub.service.here.acquire(timeout=60)
    answer = post(stub, GOOD)
    assert status_and_field(answer) == (503, "load")
    assert answer.headers["retry-after"] == "1"
    stub.service.go.set()
    for thread in threads:
        thread.join()
    assert [status_and_field(a) for a in answers] == [(422, "test")] * 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", "signal"),
        (b'{"signal": [[1]], "sampling_rate": "500", "leads": ["I"]}', "sampling_rate"),
        (b'{"signal": [[1]], "sampling_rate": 0, "leads": ["I"]}', "sampling_rate"),
        (b'{"signal": [[1]], "sampling_rate": NaN, "leads": ["I"]}', "sampling_rate"),
        (b'{"signal": [[1], [1, 2]], "sampling_rate": 500, "leads": ["I", "II"]}', "signal"),
        (b'{"signal": [[1]], "sampling_rate": 500, "leads": ["I", "II"]}', "leads"),
        (b'{"signal": [], "sampling_rate": 500, "leads": []}', "signal"),
        (b'{"signal": [[true]], "sampling_rate": 500, "leads": ["I"]}', "signal.0"),
        (b'{"signal": [[1]], "sampling_rate": 500, "leads": ["I"], "name": "Doe"}', "name"),
    ],
)
def test_json_that_is_no_recording(stub, body, field):
    answer = post(stub, body)
    assert status_and_field(answer) == (422, field)
    assert "Doe" not in answer.text


def test_forms_that_are_none(stub):
    multipart = {"content-type": "multipart/form-data; boundary=b"}
    assert status_and_field(post(stub, b"--b\r\nrubbish", **multipart)) == (422, "files")
    assert post(stub, GOOD, **{"content-type": "multipart/form-data"}).status_code == 400
    assert status_and_field(post(stub, GOOD, **{"content-type": "text/plain"})) == (415, "content-type")

    def form(*parts: tuple[str, object]) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return status_and_field(
            requests.post(f"{stub.address}/predict", files=list(parts), headers=headers, timeout=60)
        )

    file = ("files", ("a.csv", b"x"))
    assert form(("other", ("a", b"x"))) == (422, "form")
    assert form(("unit", (None, "V"))) == (422, "files")
    assert form(file, ("unit", (None, "pounds"))) == (422, "unit")
    assert form(file, ("sampling_rate", (None, "nan"))) == (422, "sampling_rate")
    assert form(file, ("leads", ("a.csv", b"x"))) == (422, "leads")
    assert form(*[file] * 9) == (400, "body")


def test_other_paths_and_methods(stub):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert status_and_field(requests.get(f"{stub.address}/../etc", headers=headers, timeout=60)) == (404, "path")
    assert requests.get(f"{stub.address}/assets/..%2findex.html", headers=headers, timeout=60).status_code == 404
    answer = requests.put(f"{stub.address}/predict", headers=headers, timeout=60)
    assert status_and_field(answer) == (405, "path")
    assert answer.headers["allow"] == "POST"
    assert status_and_field(requests.post(f"{stub.address}/predict?windows=sum", headers=headers, timeout=60)) == (
        422,
        "windows",
    )


def test_a_bug_is_answered_and_logged_without_what_was_sent(stub, caplog):
    caplog.set_level(logging.INFO)
    stub.service.error = ValueError("Jane Doe")
    answer = post(stub, GOOD)
    assert answer.status_code == 500
    # the log entry is written after the response
    requests.get(f"{stub.address}/health", timeout=60)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "ValueError in read:" in logged
    for text in (answer.text, logged):
        assert "Doe" not in text


def test_every_answer_has_its_headers(stub):
    for answer in (requests.get(stub.address, timeout=60), post(stub, b"{"), post(stub, GOOD, None)):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("how", "told_as"), [("dies", "crashed the process"), ("hangs", "could not be read within")])
def test_a_reader_that_dies_or_hangs_is_replaced(served, tmp_path, how, told_as):
    b = served.bundle
    readers = ReaderPool(1, tmp_path, b.spec, b.quality, b.lsb)
    write_record(tmp_path / "in", "r", beats(0), rate=250)
    files = tuple((p.name, p.read_bytes()) for p in (tmp_path / "in").iterdir())
    job = ReadJob(Upload(files), "contract")
    try:
        assert readers.submit(job, 60).prepared.row["status"] == "ok"
        (process,) = [p for p in multiprocessing.active_children() if p.name in _names(readers)]
        os.kill(process.pid, signal.SIGKILL if how == "dies" else signal.SIGSTOP)
        with pytest.raises(RequestError, match=told_as) as caught:
            readers.submit(job, 0.3 if how == "hangs" else 60)
        assert caught.value.status == 422
        assert readers.submit(job, 60).prepared.row["status"] == "ok"
        assert not process.is_alive()
        readers.submit(job, 60)
        taken = readers._idle.get()
        with pytest.raises(RequestError, match="no reader process became free"):
            readers.submit(job, 0.05)
        readers._idle.put(taken)
    finally:
        readers.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def _names(readers: ReaderPool) -> set[str]:
    (reader,) = list(readers._idle.queue)
    return {reader.process.name}


def test_what_a_killed_service_left_is_removed_by_the_next(tmp_path):
    left, held = tmp_path / "ecgssl-serve-left", tmp_path / "ecgssl-serve-held"
    for folder in (left, held, tmp_path / "other"):
        (folder / "reader-1").mkdir(parents=True)
        (folder / "reader-1/record.dat").write_bytes(b"x")
        (folder / "lock").write_bytes(b"")
    with (held / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with private_folder(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([held, own, tmp_path / "other"])
            assert own.stat().st_mode & 0o777 == 0o700
    assert (held / "reader-1/record.dat").exists()
    assert not own.exists()


def test_killed_in_the_middle_of_a_request(served, tmp_path):
    """The service is killed with one request half received and one half answered; the next one has no leftovers."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "ECGSSL_TOKEN": TOKEN}
    command = [sys.executable, "-m", "ecgssl", "serve", "--bundle", str(served.path), "--port", "0"]
    write_record(tmp_path / "in", "r", beats(0), rate=250)
    files = [("files", (p.name, p.read_bytes())) for p in sorted((tmp_path / "in").iterdir())]
    headers = {"authorization": f"Bearer {TOKEN}"}
    answers = []
    for end in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().decode().split()[0]
                assert len(list(tmp_path.glob("ecgssl-serve-*"))) == 1, (
                    "the leftovers of the killed service are removed"
                )
                answers.append(requests.post(f"{address}/predict", files=files, headers=headers, timeout=60).json())
                place = urlsplit(address)
                with socket.create_connection((place.hostname, place.port), timeout=60) as line:
                    line.sendall(
                        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
                    )
                    if end == signal.SIGKILL:
                        line.sendall(
                            b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n\r\n--b\r\n"
                        )
                    process.send_signal(end)
                process.wait(60)
            finally:
                process.kill()
    assert answers[0]["scores"] == answers[1]["scores"]
    assert list(tmp_path.glob("ecgssl-serve-*")) == []


def test_what_cannot_be_served_is_told(served, tmp_path):
    with pytest.raises(InputError) as caught:
        serve(served.path, host="0.0.0.0", port=0)
    assert [p.field for p in caught.value.problems] == ["host"]
    with pytest.raises(InputError, match="16 to 512 printable"):
        serve(served.path, token="short")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="is not available"):
        serve(served.path, port=taken.getsockname()[1])
    copy = shutil.copytree(served.path, tmp_path / "bundle")
    (copy / "labels.json").write_text("{}")
    refused(ecgssl("serve", "--bundle", copy), "labels.json")
    assert ecgssl("serve", "--bundle", copy, "--device", "abacus").code == 2


def test_reading_processes_do_not_load_torch():
    done = subprocess.run(
        [sys.executable, "-c", f"import {reader_module.__name__}, sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "False"
