"""docs/parameters.md: generated, up to date and complete."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import get_args

import pytest

from ecgssl.config.model import PRESETS, Preset
from ecgssl.params_base import Section

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    return runpy.run_path(str(DOCS / "parameter_reference.py"))


def test_the_reference_is_up_to_date(generator):
    assert (DOCS / "parameters.md").read_text() == generator["reference"](), "run: python docs/parameter_reference.py"


def test_a_field_without_a_description_is_an_error(generator):
    class Undocumented(Section):
        """A section.

        Args:
            first: documented field.
        """

        first: int = 1
        second: int = 2

    with pytest.raises(ValueError, match="Undocumented: add second"):
        generator["rows"](Undocumented)


def test_every_preset_has_sizes():
    assert set(PRESETS) == set(get_args(Preset))
