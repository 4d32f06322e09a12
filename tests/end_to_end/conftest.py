"""The sound cohort, made once: its bundle takes seconds. Tests that alter a part take a copy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sound_cohort import make_cohort


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """See ``make_cohort``."""
    return make_cohort(tmp_path_factory.mktemp("made"))
