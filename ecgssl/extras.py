"""Optional dependencies: the extra of each optional library, and the error for a library that is not installed.

``pip install ecgssl`` installs what is needed to read, check, draw and score recordings. Everything else is in extras
(pyproject.toml). Code that needs an optional library calls ``ecgssl.errors.require`` or relies on ``exit_with``, which
turns the failed import into the same error.
"""

from __future__ import annotations

from importlib.util import find_spec

BASE = (
    *("defusedxml", "edfio", "h5py", "jinja2", "joblib", "matplotlib", "neurokit2", "numpy", "onnxruntime", "pandas"),
    *("pyarrow", "pydantic", "pydicom", "yaml", "requests", "rich", "safetensors", "sklearn", "scipy", "typer", "wfdb"),
)
"""Import names of the libraries of the base installation."""

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
    "monai": "bench",
    "numba": "bench",
    "sktime": "bench",
    "cryptography": "sign",
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
"""Ways to continue without a library that is not installed, by import name."""

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


def remedy(library: str) -> str:
    """Return the instruction for a library that is not installed: the install command, and an alternative if any."""
    instead = ALTERNATIVES.get(library)
    return f"Run: {install_line(library)}" + (f", or {instead}" if instead else "")
