"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# the duration of an example depends mainly on the machine
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first; with several processes, a long file at the end would delay the whole run."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the key for patient ids out of the home folder of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real recordings set in ECGSSL_REAL_DATA, or skip the test if it is not set."""
    value = os.environ.get("ECGSSL_REAL_DATA", "")
    if not value or not Path(value).is_dir():
        pytest.skip("ECGSSL_REAL_DATA is not set to a folder of real recordings")
    return Path(value)
