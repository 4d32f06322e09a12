"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes says more of the machine than of the code
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: of several processes, one that took such a file last would let the others wait."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, named by ECGSSL_REAL_DATA; the test is skipped where there is none."""
    value = os.environ.get("ECGSSL_REAL_DATA", "")
    if not value or not Path(value).is_dir():
        pytest.skip("ECGSSL_REAL_DATA names no folder of real recordings")
    return Path(value)
