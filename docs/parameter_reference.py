"""Generator of docs/parameters.md from the parameter classes: ``python docs/parameter_reference.py``."""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ecgssl.config import Params

OUTPUT = Path(__file__).with_name("parameters.md")
HEAD = """# Parameters

All keys of `params.yaml`, generated from the classes in `ecgssl/config` and `ecgssl/signal` by
`python docs/parameter_reference.py`. `ecgssl ... --set section.key=value` overrides a key. Keys that are not in the file have
the default listed here; `ecgssl/profiles` holds complete files.
"""


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each field from the ``Args:`` of the class docstring and of its base classes."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        lines = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")[2].splitlines()
        names: list[str] = []
        for line in lines:
            if line and not line.startswith("    "):
                break
            entry = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
            if entry:
                names = entry[1].split(", ")
                texts |= dict.fromkeys(names, entry[2])
            elif line.startswith("        "):
                texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return texts


def type_text(annotation: Any) -> str:
    """Return a short text of a type: ``int``, ``"a" | "b"``, ``list of float``, ``float or null``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " \\| ".join("null" if a is None else f"`{a}`" for a in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(a) for a in arguments))
    if origin is list or (origin is tuple and Ellipsis in arguments):
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"pair of {type_text(arguments[0])}"
    if origin is dict:
        return "mapping" if isinstance(arguments[1], type) else f"mapping to {type_text(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return type_text(arguments[0])
    return {type(None): "null", Path: "path"}.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits_text(field: FieldInfo) -> str:
    """Return the accepted range of a number, such as ``, > 0, <= 10``."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [(sign, getattr(m, name)) for m in field.metadata for name, sign in signs.items() if hasattr(m, name)]
    return "".join(f", {sign} {limit:g}" for sign, limit in found)


def default_text(field: FieldInfo) -> str:
    """Return the default of a field as in YAML; ``required`` if it has none."""
    if field.is_required():
        return "required"
    value = field.default
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if str(value) else "empty"


def rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Return (key, type, default, description) of every key of a section, nested sections included.

    Raises:
        ValueError: a field has no entry in the ``Args:`` of its class.
    """
    texts = field_texts(model)
    missing = sorted(model.model_fields.keys() - texts.keys())
    if missing:
        raise ValueError(f"{model.__name__}: add {', '.join(missing)} to 'Args:' of the class docstring")
    out = []
    for name, field in model.model_fields.items():
        key, inner = prefix + name, _nested(field.annotation)
        if inner is not None:
            out += rows(inner, f"{key}.")
        elif key.endswith("policy"):
            out.append((key, "mapping", "see docs/quality.md", texts[name]))
        else:
            out.append((key, type_text(field.annotation) + limits_text(field), default_text(field), texts[name]))
            target = _nested((get_args(field.annotation) or (None, None))[-1])
            out += rows(target, f"{key}.NAME.") if get_origin(field.annotation) is dict and target else []
    return out


def _nested(annotation: Any) -> type[BaseModel] | None:
    candidates = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((a for a in candidates if isinstance(a, type) and issubclass(a, BaseModel)), None)


def reference() -> str:
    """Return the content of docs/parameters.md."""
    texts, parts = field_texts(Params), [HEAD]
    for name, field in Params.model_fields.items():
        named = get_origin(field.annotation) is dict
        section = _nested(get_args(field.annotation)[-1] if named else field.annotation)
        parts.append(f"## {name}\n\n{texts[name][0].upper()}{texts[name][1:]}\n")
        table = (
            rows(section, "NAME." if named else "")
            if section
            else [(name, type_text(field.annotation), default_text(field), texts[name])]
        )
        lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {kind} | {default} | {text.replace('``', '`').replace('|', chr(92) + '|')} |"
                  for key, kind, default, text in table]  # fmt: skip
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    OUTPUT.write_text(reference(), encoding="utf-8")
