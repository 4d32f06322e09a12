"""Start and shutdown of the HTTP server for a bundle."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ecgssl.errors import InputError, Problem, require
from ecgssl.export.bundle import load_bundle
from ecgssl.serving.allowed_hosts import allowed_hosts, is_loopback
from ecgssl.serving.request_limits import LOG, RequestLimits

MAX_TOKEN_LENGTH = 512


def serve(
    bundle_path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: RequestLimits | None = None,
    readers: int = 1,
    hosts: Sequence[str] = (),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    require_signature: Path | str | None = None,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C. Requests in progress then have ``limits.seconds`` to finish.

    Args:
        bundle_path: folder written by ``export_bundle``, or name of a shipped model.
        host: address to listen on. An address other than a loopback address requires a token.
        port: port to listen on; 0 for any free port.
        token: token that clients must send, 16 to 512 printable ASCII characters; ``None`` if no token is needed.
        limits: limits of a request.
        readers: number of processes that read and preprocess recordings.
        hosts: further host names under which clients call the service, such as the name of a reverse proxy.
        device: device of the model; ``auto`` uses the GPU if there is one.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.
        started: function called with the address when the service accepts requests.

    Raises:
        InputError: the bundle cannot be loaded, the token is missing or invalid, the address or the temporary folder is not
            available, or the packages of the extra ``serve`` are not installed.
    """
    _require_safe(host, token)
    limits = limits or RequestLimits()
    # starlette reads forms with python_multipart
    require("ecgssl serve", "fastapi", "uvicorn", "python_multipart")
    import uvicorn

    from ecgssl.serving.app import create_app
    from ecgssl.serving.connection_limits import limited_protocol
    from ecgssl.serving.reader_pool import ReaderPool
    from ecgssl.serving.service import Service
    from ecgssl.serving.temporary_folder import private_folder

    bundle = load_bundle(bundle_path, device=device, require_signature=require_signature)
    config = uvicorn.Config(
        lambda *_: None,
        host=host,
        port=port,
        # disable uvicorn's log, because it contains request paths and error messages
        access_log=False,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=round(limits.seconds),
        lifespan="off",
        ws="none",
        http=limited_protocol(limits),
    )
    try:
        socket = config.bind_socket()
    except SystemExit:
        what = f"port {port} of {host} is not available"
        raise InputError(
            Problem("ecgssl serve", "address", what, "Use another --port, or stop the program that uses it")
        ) from None
    _log_to_stderr()
    with private_folder() as folder:
        pool = ReaderPool(readers, folder, bundle.spec, bundle.quality, bundle.lsb, limits)
        try:
            config.app = create_app(
                Service(bundle, pool), limits, token, readers=readers, hosts=allowed_hosts(host, hosts)
            )
            server = uvicorn.Server(config)
            name = f"[{host}]" if ":" in host else host
            # the socket queues requests that arrive before the server runs
            socket.listen(config.backlog)
            # uvicorn raises SIGTERM again after its shutdown; sys.exit makes sure that the finally blocks run
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            started(f"http://{name}:{socket.getsockname()[1]}")
            server.run(sockets=[socket])
        finally:
            pool.close()


def _require_safe(host: str, token: str | None) -> None:
    problems = []
    if token is not None and not (16 <= len(token) <= MAX_TOKEN_LENGTH and token.isascii() and token.isprintable()):
        what = f"is not 16 to {MAX_TOKEN_LENGTH} printable ASCII characters"
        problems.append(
            Problem("ecgssl serve", "token", what, "Create a token, for example with 'openssl rand -hex 32'")
        )
    if token is None and not is_loopback(host):
        what = f"{host} can be reached from other machines, but no token is set"
        problems.append(Problem("ecgssl serve", "host", what, "Set ECGSSL_TOKEN, or use 127.0.0.1"))
    if problems:
        raise InputError(problems)


def _log_to_stderr() -> None:
    if not LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
