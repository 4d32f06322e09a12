"""Standard benchmarks: a profile with the recordings, labels and splits of a published comparison in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from ecgssl.errors import InputError, Problem
from ecgssl.params_base import Section

_WATCHED = 5
"""Targets that are probed while pretraining lasts; more would cost time and say little more."""


class Benchmark(Section):
    """One entry of ``pipelines/benchmarks.yaml``.

    Args:
        about: one line for people.
        data: section ``data`` without the root.
        task: name of the task.
        targets: that it predicts.
        fractions: shares of the labels; where labels are rare, a small one leaves too few patients to learn from.
        profile: everything else.
    """

    about: str
    data: dict[str, Any]
    task: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    targets: Annotated[list[str], Field(min_length=1)]
    fractions: list[float] = [1.0]
    profile: str = "ptbxl"

    def params(self, profile: str, name: str, root: Path | str | None = None) -> str:
        """Text of ``params.yaml``: that of the profile, with this benchmark's data and task in place of its own.

        Args:
            profile: text of a profile.
            name: of the benchmark, for the first line.
            root: the unpacked release; ``data/NAME OF THE SET`` where not given.
        """
        place = str(root) if root is not None else f"data/{self.data['set']}"
        data = {"set": self.data["set"], "root": place, **self.data}
        data |= {"patient_key": "data/patient.key", "overlap": "error"}
        text = _section(profile, "data", [f"  {key}: {_flow(value)}" for key, value in data.items()])
        text = _section(text, "tasks", [f"  {self.task}: {_flow(self.targets)}"])
        text = re.sub(r"(?m)^(  probe: \{targets: )\[[^\]]*\]", rf"\g<1>{_flow(self.targets[:_WATCHED])}", text)
        text = re.sub(r"(?m)^(  fractions: )\[[^\]]*\]", rf"\g<1>{_flow(self.fractions)}", text)
        text = re.sub(r"(?m)^(export: .*\btask: )\w+", rf"\g<1>{self.task}", text)
        head = f"# Benchmark {name}: {self.about}.\n"
        return head + text[text.index('# "assumption"') :]


def read_benchmarks(path: Path | str) -> dict[str, Benchmark]:
    """The benchmarks of a file by name; none where there is no such file.

    Raises:
        InputError: an entry is not what it should be.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: Benchmark.model_validate(entry) for name, entry in entries.items()}
    except (yaml.YAMLError, ValidationError, AttributeError) as error:
        what = " ".join(str(error).split())[:300]
        raise InputError(Problem(str(path), "benchmarks", what, "Restore the file of the release")) from None


def _section(text: str, name: str, lines: list[str]) -> str:
    """The text with other lines in a section at the left margin; what follows it is left as it is."""
    begin = text.index(f"\n{name}:\n") + len(f"\n{name}:\n")
    end = text.index("\n\n", begin)
    return text[:begin] + "\n".join(lines) + text[end:]


def _flow(value: Any) -> str:
    # JSON is YAML, and quotes what YAML would take for something else
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) else json.dumps(value)
