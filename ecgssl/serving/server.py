"""From a bundle to a service that listens, and its orderly end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle import load_bundle
from ecgssl.serving.request_limits import LOG, RequestLimits

LARGEST_TOKEN = 512


def serve(
    bundle_path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: RequestLimits | None = None,
    readers: int = 1,
    device: str = "auto",
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C; requests at work are answered first.

    Args:
        bundle_path: folder of ``export_bundle``.
        host: to listen on; any but this machine's own address needs a token.
        port: 0 for one that is free.
        token: that clients must bring.
        limits: of requests.
        readers: processes that read and clean.
        device: ``auto`` takes the GPU where there is one.
        started: is told the address once requests are answered.

    Raises:
        InputError: an unusable bundle, a host without a token, an address that cannot be had, or the extra is missing.
    """
    _require_safe(host, token)
    limits = limits or RequestLimits()
    try:
        import python_multipart  # noqa: F401 (starlette reads forms with it)
        import uvicorn

        from ecgssl.serving.app import create_app
    except ImportError as error:
        what = f"{error.name} is not installed"
        raise InputError(Problem("ecgssl serve", "packages", what, "pip install 'ecgssl[serve]'")) from None
    from ecgssl.serving.reader_pool import ReaderPool
    from ecgssl.serving.service import Service
    from ecgssl.serving.temporary_folder import private_folder
    from ecgssl.training.device import resolve_device

    bundle = load_bundle(bundle_path)
    bundle.graph.to(resolve_device(device))  # type: ignore[arg-type]
    config = uvicorn.Config(
        lambda *_: None,
        host=host,
        port=port,
        # what uvicorn logs of a request is its path, and of an error its message
        access_log=False,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=round(limits.seconds),
        lifespan="off",
        ws="none",
    )
    try:
        socket = config.bind_socket()
    except SystemExit:
        what = f"port {port} of {host} cannot be had"
        raise InputError(
            Problem("ecgssl serve", "address", what, "Use another --port, or end what listens there")
        ) from None
    _log_to_stderr()
    with private_folder() as folder:
        pool = ReaderPool(readers, folder, bundle.spec, bundle.quality, bundle.lsb)
        try:
            config.app = create_app(Service(bundle, pool), limits, token, readers=readers)
            server = uvicorn.Server(config)
            name = f"[{host}]" if ":" in host else host
            # who is told the address may ask at once, and waits in the queue
            socket.listen(config.backlog)
            # uvicorn raises the signal that ended it once more: it must not end the process before all is tidied up
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            started(f"http://{name}:{socket.getsockname()[1]}")
            server.run(sockets=[socket])
        finally:
            pool.close()


def _require_safe(host: str, token: str | None) -> None:
    problems = []
    if token is not None and not (16 <= len(token) <= LARGEST_TOKEN and token.isascii() and token.isprintable()):
        what = f"is not 16 to {LARGEST_TOKEN} printable ASCII characters"
        problems.append(Problem("ecgssl serve", "token", what, "Make one, for example with 'openssl rand -hex 32'"))
    if token is None and not _is_loopback(host):
        what = f"{host} can be reached from other machines, and there is no token"
        problems.append(Problem("ecgssl serve", "host", what, "Give one with ECGSSL_TOKEN, or listen on 127.0.0.1"))
    if problems:
        raise InputError(problems)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stderr() -> None:
    if not LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
