"""Description of the installation: versions, processor and GPU, extras, package files and user folder."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ecgssl.errors import InputError, Problem
from ecgssl.extras import BASE, EXTRAS, installed, remedy
from ecgssl.version import __version__

_PACKAGES = {"sklearn": "scikit-learn", "yaml": "pyyaml", "python_multipart": "python-multipart"}
"""Names of packages that differ from their import names."""
_CPU_INFO = Path("/proc/cpuinfo")
_CPU_FLAGS = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "amx": ("amx_tile",),
}
"""Flags of ``/proc/cpuinfo`` for each reported feature; one of them suffices. ``bf16`` alone is the flag of Arm."""


@dataclass(frozen=True)
class Installation:
    """Installation of ecgssl on this machine.

    Args:
        facts: JSON-compatible description, with one entry per topic.
        problems: faults that prevent commands of the base installation from working.
    """

    facts: dict[str, Any]
    problems: tuple[Problem, ...]


def describe_installation() -> Installation:
    """Return the versions, hardware and extras of this installation, and all faults of the base installation.

    Torch is imported only if it is installed, to list its GPUs. Package files and the user folder are checked only if all
    libraries of the base installation can be imported, because these checks need some of them.
    """
    problems: list[Problem] = []
    libraries = {name: _base_version(name, problems) for name in BASE}
    facts: dict[str, Any] = {
        "ecgssl": __version__,
        "location": str(Path(__file__).parent),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "libraries": libraries,
        "cpu": _cpu(),
        "gpu": _gpu(),
        "extras": _extras(),
        "models": [],
        "user_folder": {"path": None, "writable": False},
    }
    if not problems:
        facts["models"], facts["user_folder"] = _models(problems), _user_folder(problems)
    return Installation(facts, tuple(problems))


def _base_version(name: str, problems: list[Problem]) -> str | None:
    """Return the version of a library of the base installation; ``None`` with a problem if its import fails."""
    try:
        importlib.import_module(name)
    except Exception as error:
        # a library that is damaged or made for another platform can raise any error when it is imported
        what = f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        problems.append(Problem("installation", name, what, f"Run: pip install --force-reinstall {_package(name)}"))
        return None
    return _version(name)


def _package(name: str) -> str:
    return _PACKAGES.get(name, name)


def _version(name: str) -> str:
    try:
        return version(_package(name))
    except PackageNotFoundError:
        return "unknown version"


def _cpu() -> dict[str, Any]:
    """Return the processor, its usable cores, and its features; a feature is ``None`` if it cannot be determined."""
    lines = []
    if _CPU_INFO.exists():
        lines = [line.partition(":") for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()]
    values = {key.strip().lower(): value.strip() for key, _, value in reversed(lines)}
    flags = (values.get("flags") or values.get("features") or "").split()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": values.get("model name") or platform.processor() or platform.machine(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        **{name: any(flag in flags for flag in alike) if flags else None for name, alike in _CPU_FLAGS.items()},
    }


def _gpu() -> dict[str, Any]:
    """Return the GPUs that the driver and torch list; ``torch`` is ``None`` if torch is not installed or fails."""
    driver: list[str] = []
    if tool := shutil.which("nvidia-smi"):
        query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
            driver = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        except (OSError, subprocess.SubprocessError):
            pass
    try:
        torch = importlib.import_module("torch")
        count = torch.cuda.device_count()
        return {"driver": driver, "torch": [torch.cuda.get_device_name(index) for index in range(count)]}
    except (ImportError, OSError, RuntimeError):
        return {"driver": driver, "torch": None}


def _extras() -> dict[str, Any]:
    """Return the versions of the libraries of each extra (``None`` for absent ones), and how to install absent ones."""
    found: dict[str, Any] = {}
    for name, extra in EXTRAS.items():
        entry = found.setdefault(extra, {"libraries": {}, "install": None})
        entry["libraries"][name] = _version(name) if installed(name) else None
        if not installed(name):
            entry["install"] = remedy(name)
    return found


def _models(problems: list[Problem]) -> list[str]:
    """Return the names of the shipped models. Altered or missing files are problems."""
    from ecgssl.encoders.shipped import shipped_models
    from ecgssl.export.checksums import verify_sums

    names = []
    try:
        for model in shipped_models():
            verify_sums(model.path)
            names.append(model.card.name)
    except InputError as error:
        problems += error.problems
    return names


def _user_folder(problems: list[Problem]) -> dict[str, Any]:
    """Return the user configuration folder, where the key for patient ids is created, and whether it can be written."""
    from ecgssl.store.choose_key import default_key_file

    try:
        folder = default_key_file().parent
    except InputError as error:
        problems += error.problems
        return {"path": None, "writable": False}
    existing = next((place for place in (folder, *folder.parents) if place.is_dir()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            writable = True
    except OSError as error:
        writable = False
        what = f"cannot be written ({error.strerror}), so no key for patient ids can be created"
        fix = "Correct its permissions, or set XDG_CONFIG_HOME to a writable folder"
        problems.append(Problem(str(folder), "folder", what, fix))
    return {"path": str(folder), "writable": writable}
