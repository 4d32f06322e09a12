"""Fixture with a valid cohort, made once because its bundle takes seconds. Tests that alter a part use a copy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sound_cohort import make_cohort


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return the files of ``make_cohort``."""
    return make_cohort(tmp_path_factory.mktemp("made"))
