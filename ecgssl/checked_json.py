"""Reading of JSON files from third parties: limits on size, nesting and text, and typed validation with pydantic.

Model folders and bundles are copied between institutions. Their files are checked before a value is used.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular

MOST_BYTES = 64 << 20
"""Largest size of a JSON file in bytes."""
MOST_DEPTH = 32
"""Largest number of nested lists and mappings."""
MOST_TEXT = 100_000
"""Largest number of characters of a text or key."""
_MOST_SHOWN = 60
_MOST_PROBLEMS = 20

Model = TypeVar("Model", bound=BaseModel)


def read_object(path: Path, remedy: str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: JSON file.
        remedy: instruction for the error message.
        most_bytes: largest accepted size of the file.

    Raises:
        InputError: the file does not exist, is too large, cannot be parsed, does not contain a JSON object, or contains
            NaN, an infinite number, a text that is too long, or too many nested lists and mappings.
    """
    require_regular(path)
    try:
        size = path.stat().st_size
        if size > most_bytes:
            what = f"is {size:,} bytes; the limit is {most_bytes:,}"
            raise InputError(Problem(str(path), "size", what, remedy))
        return parse_object(path.read_bytes(), str(path), remedy)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except OSError:
        raise InputError(Problem(str(path), "content", "is not readable JSON", remedy)) from None


def parse_object(content: bytes | str, where: str, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a text. See ``read_object`` for the errors."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        data = json.loads(text, parse_constant=_refuse_constant)
        _check([data], 0)
    except _LimitError as error:
        raise InputError(Problem(where, "content", str(error), remedy)) from None
    except RecursionError:
        raise InputError(Problem(where, "content", _deep(), remedy)) from None
    except ValueError:
        raise InputError(Problem(where, "content", "is not readable JSON", remedy)) from None
    if not isinstance(data, dict):
        raise InputError(Problem(where, "content", "is not a JSON object", remedy))
    return data


def validated(model: type[Model], data: Any, where: str, remedy: str, field: str = "") -> Model:
    """Return data as a pydantic model. Types are checked strictly: ``"1"`` and ``true`` are not numbers.

    Args:
        model: class of the result.
        data: JSON value.
        where: file, for the error message.
        remedy: instruction for the error message.
        field: key path of ``data`` in the file; empty for the whole file.

    Raises:
        InputError: keys are missing or unknown, or values are invalid. The error lists them.
    """
    try:
        # the strict mode for JSON accepts a list for a tuple, unlike the strict mode for Python objects
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [_problem(one, where, remedy, field) for one in found[:_MOST_PROBLEMS]]
        if len(found) > _MOST_PROBLEMS:
            problems.append(Problem(where, field or "content", f"has {len(found)} invalid values in total", remedy))
        raise InputError(problems) from None
    except (TypeError, OverflowError, ValueError) as error:
        what = f"is invalid ({type(error).__name__})"
        raise InputError(Problem(where, field or "content", what, remedy)) from None


def shortened(value: object) -> str:
    """Return the representation of a value, shortened to 60 characters."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _problem(error: Any, where: str, remedy: str, field: str) -> Problem:
    place = [shortened(part).strip("'") for part in error["loc"]]
    name = ".".join([*filter(None, [field]), *place]) or "content"
    if error["type"] == "missing":
        what = "is missing"
    elif error["type"] == "extra_forbidden":
        what = "is not a key of this file"
    else:
        message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        shown = "" if isinstance(error["input"], dict | list) else f" (found {shortened(error['input'])})"
        what = f"{message[:300]}{shown}"
    return Problem(where, name, what, remedy)


class _LimitError(ValueError):
    """A JSON value exceeds a limit."""


def _refuse_constant(name: str) -> NoReturn:
    raise _LimitError(f"contains {name}, which is not a number")


def _deep() -> str:
    return f"contains lists or mappings nested more than {MOST_DEPTH} levels deep"


def _check(values: list[Any], depth: int) -> None:
    """Check the values of a list or mapping that lies in ``depth`` others."""
    if depth > MOST_DEPTH:
        raise _LimitError(_deep())
    for value in values:
        # compare types, because json.loads returns no subclasses, and most values are numbers in long lists
        kind = type(value)
        if kind is float:
            # a number such as 1e999 is parsed as infinity
            if not math.isfinite(value):
                raise _LimitError("contains an infinite number")
        elif kind is str:
            if len(value) > MOST_TEXT:
                raise _LimitError(f"contains a text of {len(value):,} characters; the limit is {MOST_TEXT:,}")
        elif kind is int:
            if abs(value) >= 1 << 63:
                raise _LimitError("contains a whole number of more than 64 bits")
        elif kind is list:
            _check(value, depth + 1)
        elif kind is dict:
            _check([*value.keys(), *value.values()], depth + 1)
