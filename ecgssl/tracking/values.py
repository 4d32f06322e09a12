"""What may be sent to a tracking server: numbers and short settings under legal names, never tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def number(name: str, value: Any) -> float:
    """The metric ``value`` as a float.

    Raises:
        TypeError: for anything but a number.
    """
    if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
        return float(value)
    raise TypeError(f"metric {name!r} is a {type(value).__name__}, not a number")


def settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as text under dotted, legal names.

    Raises:
        TypeError: for tables, columns and arrays, which might hold patient data.
    """
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= settings(value, f"{prefix}{name}.")
        elif hasattr(value, "columns") or (hasattr(value, "ndim") and not isinstance(value, np.generic)):
            raise TypeError(f"{prefix}{name} is a {type(value).__name__}: tables and arrays are not logged")
        else:
            flat[legal_name(prefix + str(name))] = str(value)
    return flat


def legal_name(name: str) -> str:
    """A name as MLflow takes it: a path of letters, digits and ``_. -``; other characters become ``_``."""
    parts = re.sub(r"[^\w./ -]", "_", name)[:250].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
