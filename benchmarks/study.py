"""What resumable benchmarks share: settings that must not change, and a description of machine, code and command."""

from __future__ import annotations

import datetime as dt
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, write_atomic
from ecgssl.tracking.provenance import source_state


def require_same_settings(file: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a benchmark to a file, or compare them with those of an earlier run.

    Raises:
        InputError: the file was written with other settings. The error lists the sections that differ.
    """
    asked = json.loads(canonical_json(settings))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, canonical_json(settings))
        return
    earlier = json.loads(file.read_text())
    wrong = sorted(name for name in {*earlier, *asked} if earlier.get(name) != asked.get(name))
    if wrong:
        remedy = "Use another --out, or remove the file"
        raise InputError(Problem(str(file), name, "was written with different parameters", remedy) for name in wrong)


def described_run(argv: list[str] | None = None) -> dict[str, Any]:
    """Return the processor, number of threads, date, commit and command of the current process."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "date": dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC"),
        "commit": str(source_state()),
        "command": command_line(argv),
    }


def command_line(argv: list[str] | None = None) -> str:
    """Return the command of the current process, with the folder of the script and absolute folders left out."""
    words = [Path(sys.argv[0]).name, *(sys.argv[1:] if argv is None else argv)]
    return shlex.join(["python", f"benchmarks/{words[0]}", *(_without_folder(word) for word in words[1:])])


def processor() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _without_folder(word: str) -> str:
    """Replace an absolute path in an argument by its last part, because folders of a machine do not belong in a log."""
    head, equals, path = word.rpartition("=")
    return f"{head}{equals}{Path(path).name}" if Path(path).is_absolute() else word
