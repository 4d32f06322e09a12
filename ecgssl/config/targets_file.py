"""Targets files: YAML files that declare the columns and targets of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecgssl.config.manifest import ManifestParams
from ecgssl.config.params_file import problem_of, read_mapping
from ecgssl.errors import InputError, Problem

_REMEDY = "Write a mapping with keys such as columns and targets, or remove targets_file"
_CELLS = ("positive", "negative", "unknown")
_ABSENT = object()


def examine_targets_file(path: Path | str) -> tuple[ManifestParams, list[Problem]]:
    """Return the valid declarations of a targets file, and all errors.

    Invalid targets are left out. If another section is invalid, the table cannot be read as intended.

    Raises:
        InputError: the file is missing or is not YAML, or a section other than ``targets`` is invalid. The message lists
            all errors.
    """
    data = read_mapping(Path(path), _REMEDY)
    problems: list[Problem] = []
    only_targets = True
    while True:
        try:
            reading = ManifestParams.model_validate(data)
        except ValidationError as error:
            faults = error.errors()
        else:
            break
        # pydantic compares the keys of a target only if each of them is valid, so remove invalid ones and check again
        found = [problem_of(str(path), fault, ManifestParams) for fault in faults]
        problems += [problem for problem in found if problem not in problems]
        locations = [fault["loc"] for fault in faults]
        only_targets &= all(len(location) > 1 and location[0] == "targets" for location in locations)
        if not sum(_remove(data, location) for location in locations):
            raise InputError(problems)
    if not only_targets:
        raise InputError(problems)
    return reading, problems


def _remove(data: dict[Any, Any], location: Sequence[int | str]) -> bool:
    """Remove an invalid value, and its target if other keys depend on this value; return whether something is removed."""
    section, *inner = location
    entries = data.get(section)
    if not inner or not isinstance(entries, dict):
        return _ABSENT is not data.pop(section, _ABSENT)
    name, *keys = inner
    target = entries.get(name)
    if section != "targets" or not isinstance(target, dict) or keys[:1] in ([], ["kind"], ["classes"], ["[key]"]):
        return _ABSENT is not entries.pop(name, _ABSENT)
    removed = target.pop(keys[0], _ABSENT)
    if keys[0] in _CELLS:
        # without the key, the cells would have the default meaning
        target[keys[0]] = []
    return removed is not _ABSENT
