"""Optional dependencies: the extra of each optional library, and the error for a library that is not installed.

``pip install ecgssl`` installs what is needed to read, check, draw and score recordings. Everything else is in extras
(pyproject.toml). Code that needs an optional library calls ``require`` or relies on ``exit_with``, which turns the
failed import into the same error.
"""

from __future__ import annotations

from importlib.util import find_spec

from ecgssl.errors import InputError, Problem

EXTRAS = {
    "einops": "train",
    "onnx": "train",
    "onnxscript": "train",
    "torch": "train",
    "dvc": "pipeline",
    "mlflow": "pipeline",
    "dask": "dask",
    "distributed": "dask",
    "ecgdatakit": "vendor",
    "huggingface_hub": "hub",
    "ray": "ray",
    "anyio": "serve",
    "fastapi": "serve",
    "python_multipart": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
}
"""Extra of each optional library, by import name."""

ALTERNATIVES = {
    "mlflow": "set tracking.backend: none",
    "dask": "use the backend loky",
    "ray": "use the backend loky",
}
"""Remedies without the installation of a library, by import name."""

TRAINING = ("torch", "einops", "onnx", "onnxscript")
"""Import names of the libraries for training and export."""


def install_line(library: str) -> str:
    """Return the command that installs a library, such as ``pip install 'ecgssl[train]'``."""
    return f"pip install 'ecgssl[{EXTRAS[library]}]'"


def installed(library: str) -> bool:
    """Return whether a library can be imported. The library is not imported."""
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def require(where: str, *libraries: str, field: str | None = None) -> None:
    """Check that optional libraries are installed. Call it before work starts that needs them.

    Args:
        where: command, file or parameter that needs the libraries.
        libraries: import names, keys of ``EXTRAS``.
        field: field of the error message; the name of the library by default.

    Raises:
        InputError: a library is not installed. The error has one problem with the install command per missing extra.
    """
    missing = {EXTRAS[library]: library for library in reversed(libraries) if not installed(library)}
    if missing:
        raise InputError(_problem(where, library, field) for library in reversed(missing.values()))


def missing_library(error: ImportError, where: str) -> InputError | None:
    """Return the error for a failed import of an optional library; ``None`` if another import failed."""
    library = (error.name or "").partition(".")[0]
    return InputError(_problem(where, library)) if library in EXTRAS and not installed(library) else None


def _problem(where: str, library: str, field: str | None = None) -> Problem:
    what = f"{library} is not installed" if field else "is not installed"
    instead = ALTERNATIVES.get(library)
    remedy = f"Run: {install_line(library)}" + (f", or {instead}" if instead else "")
    return Problem(where, field or library, what, remedy)
