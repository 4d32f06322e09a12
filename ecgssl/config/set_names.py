"""References to sets in parameters: default names, unknown names and the form of earlier releases."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ecgssl.config.public_sets import SYNTHETIC
from ecgssl.errors import Problem

DEFAULT_SET = "synthetic"
"""Name of the only set if the parameters have no section ``sets``."""


class UnknownSets(ValueError):
    """References to sets that do not exist, or that are missing or repeated."""


def set_names(data: Mapping[str, Any]) -> list[str]:
    """Return the names of the sets in unchecked parameters; an empty list if section ``sets`` is not a mapping."""
    sets = data.get("sets", {DEFAULT_SET: {}})
    return list(map(str, sets)) if isinstance(sets, Mapping) else []


def reader_of(section: Any) -> str:
    """Return the reader of a set in unchecked parameters."""
    return str(section.get("reader", SYNTHETIC)) if isinstance(section, Mapping) else SYNTHETIC


def fill_set_names(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in which ``pretrain.sets`` and ``tasks.NAME.set`` are filled, if there is only one set.

    Args:
        data: unchecked parameters. The argument and the mappings in it are not changed.
    """
    filled = dict(data)
    names = set_names(data)
    if len(names) != 1:
        return filled
    filled["pretrain"] = _with_default(filled.get("pretrain", {}), "sets", names)
    tasks = filled.get("tasks")
    if isinstance(tasks, Mapping):
        filled["tasks"] = {name: _with_default(task, "set", names[0]) for name, task in tasks.items()}
    return filled


def _with_default(section: Any, key: str, value: Any) -> Any:
    if isinstance(section, BaseModel):
        return section if getattr(section, key, None) else section.model_copy(update={key: value})
    if isinstance(section, Mapping):
        return {**section, key: section.get(key) or value}
    return section


def name_problems(data: Mapping[str, Any], where: str) -> list[Problem]:
    """Return all wrong references to sets in ``pretrain.sets``, ``pretrain.sampling`` and ``tasks``.

    Args:
        data: parameters after ``fill_set_names``. Values of a wrong type are ignored, because other checks report them.
        where: name of the parameter file, for the messages.
    """
    known = set_names(data)
    if not known:
        return []
    found = [*_of_pretraining(data.get("pretrain", {}), known), *_of_tasks(data.get("tasks"), known)]
    return [Problem(where, field, what, remedy) for field, what, remedy in found]


def _of_pretraining(section: Any, known: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(section, Mapping):
        return
    names = section.get("sets") or []
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        return
    if not names:
        yield (
            "pretrain.sets",
            f"is missing, but there are {len(known)} sets",
            f"List one or more of: {', '.join(known)}",
        )
    for name in dict.fromkeys(names):
        if name not in known:
            yield "pretrain.sets", f"{name!r} is not in section sets", _known(name, known)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        yield "pretrain.sets", f"lists {', '.join(twice)} more than once", "Remove the duplicates"
    weights = section.get("sampling")
    if not names or not isinstance(weights, Mapping):
        return
    for name in map(str, weights):
        if name not in names:
            what = f"has a weight for {name!r}, which is not in pretrain.sets"
            yield "pretrain.sampling", what, "Remove the weight, or add the set to pretrain.sets"
    if absent := [name for name in dict.fromkeys(names) if name in known and name not in weights]:
        yield (
            "pretrain.sampling",
            f"has no weight for {', '.join(absent)}",
            "Add a weight for each set of pretrain.sets",
        )


def _of_tasks(tasks: Any, known: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(tasks, Mapping):
        return
    for task, values in tasks.items():
        if not isinstance(values, Mapping):
            continue
        name = values.get("set")
        if not name:
            what = f"is missing, but there are {len(known)} sets"
            yield f"tasks.{task}.set", what, f"Set it to one of: {', '.join(known)}"
        elif isinstance(name, str) and name not in known:
            yield f"tasks.{task}.set", f"{name!r} is not in section sets", _known(name, known)


def _known(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{f'Did you mean {close[0]!r}? ' if close else ''}Use one of: {', '.join(known)}"


def convert_old_form(data: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return parameters in the new form and a problem for each part that has the form of an earlier release.

    Earlier releases had a section ``data`` for a single set, and tasks that were lists of targets.

    Args:
        data: unchecked parameters.
        where: name of the parameter file, for the messages.
    """
    new, problems = dict(data), []
    old = new.pop("data", None) if "data" in new else None
    if "data" in data:
        section = dict(old) if isinstance(old, Mapping) else {}
        reader = section.pop("set", SYNTHETIC)
        name = str(reader) if isinstance(reader, str) and reader.isidentifier() else DEFAULT_SET
        sets = {name: {"reader": reader, **section}}
        what = "has the form of an earlier release; recordings are described in section sets"
        problems.append(Problem(where, "data", what, _paste({"sets": sets})))
        new.setdefault("sets", sets)
    tasks = data.get("tasks")
    if isinstance(tasks, Mapping) and (lists := {k: v for k, v in tasks.items() if isinstance(v, list)}):
        converted = {name: {"targets": value} if name in lists else value for name, value in tasks.items()}
        what = f"{', '.join(map(str, lists))}: a list of targets has the form of an earlier release"
        problems.append(Problem(where, "tasks", what, _paste({"tasks": converted})))
        new["tasks"] = converted
    return new, problems


def _paste(section: dict[str, Any]) -> str:
    """Return the instruction to replace a section, with the new section as YAML."""
    import yaml

    lines = []
    for name, entries in section.items():
        lines.append(f"{name}:")
        for key, value in entries.items():
            text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
            lines.append(f"  {key}: {text.strip()}")
    return "\n".join(["Replace the section with:", "", *lines, ""])
