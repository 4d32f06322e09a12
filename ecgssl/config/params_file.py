"""Parameter files as mappings: reading YAML, overrides of single keys, and messages about invalid values."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular


def read_mapping(path: Path, remedy: str) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping.

    Args:
        path: file.
        remedy: fix for the message if the file does not exist or is not a mapping.

    Raises:
        InputError: the file is missing, cannot be read, is not YAML, or is not a mapping.
    """
    # import in functions, because loading a model needs the parameter classes, but no YAML
    import yaml

    require_regular(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read as UTF-8 text ({type(error).__name__})"
        raise InputError(Problem(str(path), "file", what, "Use a YAML file")) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(str(path), "YAML", " ".join(str(error).split()), "Correct the syntax")) from None
    if not isinstance(data, dict):
        raise InputError(Problem(str(path), "content", "is not a mapping of keys to values", remedy))
    return data


def override(data: dict[str, Any], item: str) -> None:
    """Set one key of nested mappings.

    Args:
        data: mapping to change.
        item: ``section.key=value``; the value is YAML.

    Raises:
        InputError: the override has the wrong form, or one of its sections is not a mapping.
    """
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise InputError(
            Problem(
                "--set", item, "is not of the form section.key=value", "Use for example --set pretrain.samples=1000"
            )
        )
    *sections, last = key.split(".")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise InputError(Problem("--set", key, f"{section} is not a section", "See params.yaml for the sections"))
    import yaml

    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(
            Problem("--set", key, f"{value!r} is not YAML", "Quote text with special characters")
        ) from None


def problem_of(where: str, error: Any, root: type[BaseModel]) -> Problem:
    """Return the problem for one error of pydantic.

    Args:
        where: name of the parameter file.
        error: entry of ``ValidationError.errors()``.
        root: class that was validated.
    """
    location = [str(p) for p in error["loc"]]
    field = ".".join(location) or "parameters"
    if error["type"] == "extra_forbidden":
        if location[0] == "sets" and location[2:] == ["set"]:
            return Problem(where, field, "unknown key", "Use 'reader'")
        if location[0] == "sets" and len(location) == 3 and location[2] in root.model_fields:
            what = "cannot differ between sets: all stores and models have the same settings"
            return Problem(where, field, what, f"Set it in section '{location[2]}' for all sets")
        close = difflib.get_close_matches(location[-1], _known_keys(location[:-1], root), n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "Remove it"
        return Problem(where, field, "unknown key", hint)
    if error["type"] == "missing":
        return Problem(where, field, "is missing", "Add the key, or copy it from a profile")
    message = error["msg"].removeprefix("Value error, ")
    value = error.get("input")
    shown = "" if isinstance(value, dict | BaseModel) or value is None else f" (got {value!r})"
    return Problem(where, field, message + shown, "Correct the value")


def _known_keys(location: list[str], model: type[BaseModel]) -> list[str]:
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if get_origin(annotation) is dict:
            # skip the next part of the location, which is a key chosen by the user, such as the name of a task
            annotation = get_args(annotation)[1]
            next(parts, None)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
