"""Shared HTTP service for the tests of serving; its reading processes take seconds to start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from plain_bundle import plain_bundle
from served import listening

pytest.importorskip("python_multipart", reason="the extra 'serve' is not installed")

from ecgssl.export.bundle import load_bundle
from ecgssl.serving.app import create_app
from ecgssl.serving.reader_pool import ReaderPool
from ecgssl.serving.request_limits import RequestLimits
from ecgssl.serving.service import Service


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Return address, bundle, service and the folder of files that are being read."""
    path = plain_bundle(tmp_path_factory.mktemp("served"))
    bundle = load_bundle(path)
    root = tmp_path_factory.mktemp("scratch")
    limits = RequestLimits(seconds=300, waiting=512, windows=20)
    readers = ReaderPool(1, root, bundle.spec, bundle.quality, bundle.lsb, limits)
    service = Service(bundle, readers)
    app = create_app(service, limits)
    with listening(app, limits) as address:
        yield SimpleNamespace(address=address, path=path, bundle=bundle, service=service, root=root, app=app)
    readers.close()
