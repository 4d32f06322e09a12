"""Folders of the sets of a parameter profile: replacement of ``root`` in its text; comments of other lines are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ecgssl.errors import InputError, Problem

_SET, _ROOT = re.compile(r"  ([a-z0-9_]+):(?: |$)"), re.compile(r"    root:")


def with_roots(text: str, roots: Sequence[str], where: str) -> str:
    """Return the text of a profile with the folders of its sets replaced.

    Args:
        text: text of the profile. Its sets are written as blocks, with one key per line.
        roots: ``SET=FOLDER`` for each set to change. If only one set has a folder, the value can be the folder alone.
        where: name of the profile for messages.

    Raises:
        InputError: a value has no name of a set or names an unknown set, or a set has two folders. All are listed.
    """
    lines = text.splitlines()
    places = _places(lines)
    problems: list[Problem] = []
    given: dict[str, str] = {}
    for value in roots:
        name, folder = _named(value, places)
        if not places:
            what, remedy = "cannot be used, because no set of the profile has a line 'root:'", "Edit params.yaml"
        elif name is None:
            what = f"{value!r} does not start with the name of a set"
            remedy = f"Use SET=FOLDER with one of: {', '.join(places)}"
        elif not folder:
            what, remedy = f"{value!r} has no folder", f"Use {name}=FOLDER"
        elif name in given:
            what, remedy = f"gives set {name} two folders", "Give each set one folder"
        else:
            given[name] = folder
            continue
        problems.append(Problem(where, "--root", what, remedy))
    if problems:
        raise InputError(problems)
    for name, folder in given.items():
        lines[places[name]] = f"    root: {json.dumps(folder)}"
    return "\n".join(lines) + "\n"


def _named(value: str, places: dict[str, int]) -> tuple[str | None, str]:
    """Return the set and the folder of a value; the set is ``None`` if the value does not name a known set."""
    name, equals, folder = value.partition("=")
    if equals and name in places:
        return name, folder
    # a folder may contain "=", so with one set every other value is a folder
    return (next(iter(places)), value) if len(places) == 1 else (None, value)


def _places(lines: Sequence[str]) -> dict[str, int]:
    """Return the position of the line with ``root`` of each set that has one."""
    found: dict[str, int] = {}
    name, inside = "", False
    for position, line in enumerate(lines):
        if line[:1].strip() and not line.startswith("#"):
            inside = line.startswith("sets:")
        elif inside and (match := _SET.match(line)):
            name = match[1]
        elif inside and _ROOT.match(line):
            found[name] = position
    return found
