"""The table of formats in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from ecgssl.io.formats import FORMATS

PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text()


def test_every_format_has_a_row_that_states_its_real_files() -> None:
    rows = re.findall(r"(?m)^\| [^|]+ \| `(\w+)` \| ([^|]+) \| ([\d,]+) \| ([^|]+) \|$", PAGE)
    assert {name for name, *_ in rows} == {form.name for form in FORMATS}
    for name, device, number, source in rows:
        # a reader that was tested on our own files only says so
        assert (number == "0") == device.startswith("none, own files"), name
        assert source.strip()
