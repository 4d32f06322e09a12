"""HTTP server on a free local port, in a thread of the test process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def listening(app: Any, limits: Any = None) -> Iterator[str]:
    """Serve an ASGI application during the block and yield its address.

    Args:
        app: application.
        limits: limits of a connection (``RequestLimits``); uvicorn's own limits if ``None``.
    """
    import uvicorn

    from ecgssl.serving.connection_limits import limited_protocol

    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    place = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    if limits is not None:
        config.http = limited_protocol(limits)
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
