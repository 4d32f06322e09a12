"""Local HTTP server of a release with planned failures by path: broken connections, status codes, wrong files, redirects."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Release:
    """Files of a release and their failures.

    ``faults[path]`` lists the failures of successive GET requests of a file; later requests succeed. ``drop:N`` closes the
    connection after N bytes, ``status:CODE[:retry-after]`` returns this status, ``alter`` changes a byte, ``short`` sends
    half of the file, ``redirect:URL`` redirects, ``whole`` ignores a range, ``html`` sends a web page.
    """

    def __init__(self, files: dict[str, bytes], sums: str | None = None) -> None:
        self.files = files
        lines = [f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in files.items()]
        self.served = {**files, "SHA256SUMS.txt": ("".join(lines) if sums is None else sums).encode()}
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.asked: Counter[str] = Counter()
        self.ranges: list[tuple[str, str]] = []
        self.open = self.most_open = 0
        self.agents: set[str] = set()
        self.url = ""
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Release]:
        release = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                data = release.served.get(unquote(self.path.lstrip("/")))
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()

            def do_GET(self) -> None:
                path = unquote(self.path.lstrip("/"))
                with release._lock:
                    release.asked[path] += 1
                    release.agents.add(self.headers["User-Agent"])
                    release.open += 1
                    release.most_open = max(release.most_open, release.open)
                    fault = release.faults[path].pop(0) if release.faults[path] else ""
                try:
                    self._answer(path, *fault.split(":", 1))
                finally:
                    with release._lock:
                        release.open -= 1

            def _answer(self, path: str, fault: str = "", value: str = "") -> None:
                data = release.served.get(path)
                if fault == "status":
                    code, _, after = value.partition(":")
                    self.send_response(int(code))
                    if after:
                        self.send_header("Retry-After", after)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if fault == "redirect":
                    self.send_response(302)
                    self.send_header("Location", value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if data is None:
                    self.send_error(404)
                    return
                asked = self.headers.get("Range", "")
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "whole" else 0
                if asked:
                    release.ranges.append((path, asked))
                if start and start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if fault == "alter":
                    data = data[:-1] + bytes([data[-1] ^ 1])
                if fault == "html":
                    data = b"<html>please log in</html>"
                body = data[start:]
                if fault == "short":
                    body = body[: len(body) // 2]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if fault == "drop":
                    self.wfile.write(body[: int(value)])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.close()
                    return
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
