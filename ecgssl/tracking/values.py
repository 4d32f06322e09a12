"""Conversion of metrics, settings and errors to values that may be sent to a tracking server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_MAX_MESSAGE = 200


def number(name: str, value: Any) -> float:
    """Return a metric as a float.

    Raises:
        TypeError: the value is not a number.
    """
    if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
        return float(value)
    raise TypeError(f"metric {name!r} is a {type(value).__name__}, not a number")


def settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as a flat dictionary of strings. Nested keys are joined by dots.

    Raises:
        TypeError: a value is a table, column or array, because these can contain patient data.
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
    """Return a valid MLflow name: other characters become ``_``, and the name is cut to 250 characters."""
    parts = re.sub(r"[^\w./ -]", "_", name)[:250].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"


def error_line(error: Exception) -> str:
    """Return the type and message of an error as one line of limited length, with secrets replaced by ``***``.

    Secrets are the user name and password in ``MLFLOW_TRACKING_URI`` and the values of ``MLFLOW_TRACKING_PASSWORD`` and
    ``MLFLOW_TRACKING_TOKEN``.
    """
    login = os.environ.get(URI_VARIABLE, "").partition("://")[2].rpartition("@")[0]
    secrets = [os.environ.get(name, "") for name in _SECRET_VARIABLES] + [login, login.partition(":")[2]]
    text = " ".join(str(error).split())
    # truncating first could leave a part of a secret; the longest is replaced first, because it may contain another
    for secret in sorted(filter(None, {*secrets, *map(unquote, secrets)}), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"//[^/\s]*@", "//***@", text)
    return f"{type(error).__name__}: {text[:_MAX_MESSAGE]}"
