"""Log of all scorings of test recordings, a text file next to the results.

The same test recordings can be scored by many runs, and the best of many results is too optimistic. Each evaluation on a test
split or on external recordings adds a line to ``test_scorings.jsonl`` in the folder that contains the results. The line has no
paths, because these may name a person.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecgssl.errors import cannot_write
from ecgssl.evaluation.predictions import BASELINE, CLINICAL
from ecgssl.files import canonical_json, make_folder, refuse_pipe
from ecgssl.tracking.provenance import source_state
from ecgssl.version import __version__

FILE = "test_scorings.jsonl"
_SPLITS = ("test", "external")


@dataclass(frozen=True)
class Scorings:
    """How often the recordings of a split were scored, according to a log.

    Args:
        total: number of scorings.
        different: number of scorings with different results; a repeated evaluation of the same predictions counts once,
            also under another mode.
    """

    total: int
    different: int


def log_scorings(folder: Path, figures: Mapping[str, Any], results: str) -> None:
    """Add a line to the log for each test or external split of an evaluation.

    Args:
        folder: folder of the log.
        figures: results of ``ecgssl.evaluation.evaluate.evaluate``.
        results: name of the folder or file of the results.

    Raises:
        InputError: the log cannot be written.
    """
    source = source_state()
    lines = []
    for split in (split for split in _SPLITS if split in figures["splits"]):
        metric = figures["primary"]
        values = {name: found[split]["macro"][metric]["value"] for name, found in figures["models"].items()}
        line = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": str(source),
            "ecgssl": __version__,
            "command": _command(sys.argv),
            "results": results,
            "split": split,
            **figures["splits"][split],
            "main": figures["main"],
            "metric": metric,
            "values": values,
        }
        lines.append(canonical_json(line, indent=None).strip() + "\n")
    if not lines:
        return
    path = make_folder(folder) / FILE
    try:
        refuse_pipe(path)
        # one write in append mode, so that lines of processes that end at the same time are not mixed
        with path.open("ab", buffering=0) as file:
            file.write("".join(lines).encode())
    except OSError as error:
        raise cannot_write(path, error) from None


def count_scorings(folder: Path, digest: str) -> Scorings | None:
    """Return how often the recordings with a digest were scored; ``None`` without a log, or if it has no line of them.

    Lines that are not JSON objects are ignored.

    Args:
        folder: folder of the log.
        digest: digest of the recordings and their targets (``predictions.recordings_digest``).
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("digest") == digest:
            found.append(canonical_json([line.get("metric"), _own(line)]))
    return Scorings(len(found), len(set(found))) if found else None


def _own(line: Mapping[str, Any]) -> Any:
    """Return the values of a line without the name of its main model, and without the baselines.

    Full fine-tuning that kept the linear probe has the results of the linear probe under another name, and can have other
    baselines.
    """
    values, main = line.get("values"), line.get("main")
    if not isinstance(values, dict):
        return values
    models = {name: value for name, value in values.items() if name != BASELINE and not name.startswith(CLINICAL)}
    return {"" if name == main else name: value for name, value in (models or values).items()}


def _command(arguments: Sequence[str]) -> str:
    """Return a command line in which paths are replaced by ``PATH``."""
    words = [Path(arguments[0]).name] if arguments else []
    for word in arguments[1:]:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(f"{option}{equals}{'PATH' if value and _is_path(value) else value}")
    return shlex.join(words)


def _is_path(value: str) -> bool:
    try:
        return os.sep in value or Path(value).exists()
    except (OSError, ValueError):
        return True
