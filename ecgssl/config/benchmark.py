"""Standard benchmarks: parameter profiles with recordings, labels and splits of published comparisons."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular
from ecgssl.params_base import Section

BENCHMARKS = Path(__file__).with_name("benchmarks.yaml")
"""File of the benchmarks that ship with the package."""
_PROBED = 5
"""Maximum number of targets for the online probe during pretraining, to limit its computing time."""


class Benchmark(Section):
    """One entry of ``ecgssl/config/benchmarks.yaml``.

    Args:
        about: description in one line.
        data: section of the set, without the root.
        task: name of the task.
        targets: targets of the task.
        fractions: fractions of the labels. For rare labels, small fractions contain too few patients for training.
        profile: name of the profile with all other sections.
    """

    about: str
    data: dict[str, Any]
    task: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    targets: Annotated[list[str], Field(min_length=1)]
    fractions: list[float] = [1.0]
    profile: str = "ptbxl"

    def params(self, profile: str, name: str, root: Path | str | None = None) -> str:
        """Return the text of ``params.yaml`` for the benchmark: a profile with the set, task and fractions replaced.

        Args:
            profile: text of a profile.
            name: name of the benchmark, for the first line.
            root: folder of the unpacked release; by default ``data/READER``.
        """
        reader = self.data["reader"]
        data = {"reader": reader, "root": str(root) if root is not None else f"data/{reader}", **self.data}
        data |= {"overlap": "error"}
        entries = [f"    {key}: {_flow(value)}" for key, value in data.items()]
        text = _section(profile, "sets", [f"  {reader}:", *entries])
        text = _section(text, "tasks", [f"  {self.task}: {{targets: {_flow(self.targets)}}}"])
        text = re.sub(r"(?m)^(  probe: \{targets: )\[[^\]]*\]", rf"\g<1>{_flow(self.targets[:_PROBED])}", text)
        text = re.sub(r"(?m)^(  fractions: )\[[^\]]*\]", rf"\g<1>{_flow(self.fractions)}", text)
        text = re.sub(r"(?m)^(export: .*\btask: )\w+", rf"\g<1>{self.task}", text)
        head = f"# Benchmark {name}: {self.about}.\n"
        return head + text[text.index('# "assumption"') :]


def read_benchmarks(path: Path | str = BENCHMARKS) -> dict[str, Benchmark]:
    """Read the benchmarks in a file, and return them as a dict by name.

    Raises:
        InputError: the file is not valid YAML, or an entry is invalid.
    """
    path = Path(path)
    require_regular(path)
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: Benchmark.model_validate(entry) for name, entry in entries.items()}
    except (yaml.YAMLError, ValidationError, AttributeError) as error:
        what = " ".join(str(error).split())[:300]
        raise InputError(
            Problem(str(path), "benchmarks", what, "Correct the entry, or restore the original file")
        ) from None


def _section(text: str, name: str, lines: list[str]) -> str:
    """Return the text of a parameter file with the lines of one top-level section replaced."""
    heading = re.search(rf"(?m)^{name}:.*\n", text)
    assert heading is not None, name
    begin = heading.end()
    end = text.index("\n\n", begin)
    return text[:begin] + "\n".join(lines) + text[end:]


def _flow(value: Any) -> str:
    # write simple words and paths without quotes, and all other values as JSON, which is valid YAML
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) else json.dumps(value)
